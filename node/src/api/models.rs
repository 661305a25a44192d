//! Which model a name means.

use bombyx_gpu::catalog::{self, CatalogError};
use bombyx_protocol::work::order::{ModelId, TaskKind};
use bombyx_protocol::work::price::Weights;
use tokio::time::Instant;

use super::handle::NodeHandle;
use crate::engine::models;
use crate::error::NodeError;
use crate::status::last_list::LastList;
use crate::status::models::{DIGITS_MIN, ModelWeights, NameError, OfferedModel};

/// Models of which a failure names those that are on offer.
const NAMED_MAX: usize = 8;

/// A model that is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MeantModel {
    pub(crate) id: ModelId,
    /// What it does; none where nobody has said so yet.
    pub(crate) kind: Option<TaskKind>,
    /// How its tokens are billed.
    pub(crate) weights: Weights,
}

/// Returns the model that a name means without a look at what is on offer: an id, or a name of the
/// catalogue.
pub(crate) fn known(name: &str) -> Option<MeantModel> {
    models::named(name).ok().map(|(id, kind)| MeantModel { id, kind, weights: models::weights_of(&id) })
}

impl NodeHandle {
    /// Returns the model that a name means. What the catalogue knows, and ids, need no look at what is on offer; the last
    /// list is enough where it has one model of that name. Where it does not, those that sell are asked anew, as
    /// [`Self::models`] does.
    ///
    /// # Errors
    /// [`NodeError::Name`], and [`NodeError::Stopped`] when the node has ended.
    pub(crate) async fn meant(&self, name: &str) -> Result<MeantModel, NodeError> {
        let listed =
            |list: &LastList| list.fresh(Instant::now()).and_then(|offered| resolve(name, offered).ok());
        let meant = known(name).or_else(|| listed(&self.last_list.borrow()));
        match meant {
            Some(meant) => Ok(meant),
            None => Ok(resolve(name, &self.models().await?)?),
        }
    }
}

/// Returns the model that a name means among those on offer: an id, a name that exactly one has, or a
/// name with an `@` and the first eight or more digits of the id.
///
/// # Errors
/// [`NameError`].
pub(crate) fn resolve(name: &str, offered: &[OfferedModel]) -> Result<MeantModel, NameError> {
    if let Some(meant) = known(name) {
        let listed = offered.iter().find(|model| model.id == meant.id.to_string());
        return Ok(listed.and_then(listed_as).unwrap_or(meant));
    }
    let (wanted, digits) = name.rsplit_once('@').map_or((name, ""), |(wanted, digits)| (wanted, digits));
    if name.contains('@') && digits.len() < DIGITS_MIN {
        let text = format!("after the `@` of {name:?} come {DIGITS_MIN} or more digits of the model's id");
        return Err(NameError::Unknown(text));
    }
    let named = offered.iter().filter(|model| model.name.as_deref() == Some(wanted));
    let fitting: Vec<&OfferedModel> =
        named.filter(|model| model.id.starts_with(&digits.to_ascii_lowercase())).collect();
    match fitting.as_slice() {
        [model] => listed_as(model).ok_or_else(|| unknown(name, offered)),
        [] => Err(unknown(name, offered)),
        several => Err(NameError::Ambiguous {
            name: wanted.to_owned(),
            labels: several.iter().map(|model| model.label.clone()).collect(),
            ids: several.iter().map(|model| model.id.clone()).collect(),
        }),
    }
}

/// Returns the model on offer that a name means.
///
/// # Errors
/// [`NameError`].
pub(crate) fn find<'a>(name: &str, offered: &'a [OfferedModel]) -> Result<&'a OfferedModel, NameError> {
    let id = resolve(name, offered)?.id.to_string();
    offered.iter().find(|model| model.id == id).ok_or_else(|| NameError::Unknown(unoffered(name)))
}

/// Returns a model as the list says it is.
fn listed_as(model: &OfferedModel) -> Option<MeantModel> {
    let ModelWeights { input, cached, output } = model.weights;
    Some(MeantModel {
        id: model.id.parse().ok()?,
        kind: model.kind(),
        weights: Weights { input, cached, output },
    })
}

fn unknown(name: &str, offered: &[OfferedModel]) -> NameError {
    let more = match catalog::find(name) {
        Ok(_) => String::new(),
        Err(CatalogError::Unknown { near: Some(near), .. }) => format!("; did you mean `{near}`?"),
        Err(CatalogError::Unknown { near: None, names, .. }) => format!("; the catalogue has {names}"),
        Err(error) => return NameError::Unknown(error.to_string()),
    };
    NameError::Unknown(format!("{}; {}{more}", unoffered(name), names(offered)))
}

fn unoffered(name: &str) -> String {
    format!("nobody offers `{}` at the moment", name.escape_debug())
}

/// Names what is on offer, as far as a line holds it.
pub(super) fn names(offered: &[OfferedModel]) -> String {
    if offered.is_empty() {
        return "nothing is on offer".into();
    }
    let named: Vec<&str> = offered.iter().take(NAMED_MAX).map(|model| model.label.as_str()).collect();
    let more = match offered.len().saturating_sub(NAMED_MAX) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("on offer: {}{more}", named.join(", "))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::status::models::ModelPrice;

    fn model(id: &str, name: Option<&str>, label: &str) -> OfferedModel {
        let price = ModelPrice {
            per_k_units_nano: 1,
            per_job_nano: Some(1),
            input_per_k_nano: Some(10),
            output_per_k_nano: Some(60),
        };
        OfferedModel {
            id: id.repeat(32),
            name: name.map(str::to_owned),
            label: label.to_owned(),
            task: "chat".into(),
            context_tokens: Some(1),
            output_tokens_max: Some(1),
            weights: ModelWeights { input: 3, cached: 1, output: 7 },
            tiers: vec!["open".into()],
            providers: 1,
            lowest: price,
            usual: price,
        }
    }

    #[test]
    fn a_bare_name_of_two_models_is_refused_with_both_and_each_can_be_chosen() {
        let offered = [
            model("0a", Some("own"), "own@0a0a0a0a"),
            model("0b", Some("own"), "own@0b0b0b0b"),
            model("0c", Some("single"), "single"),
            model("0d", None, &"0d".repeat(32)),
        ];
        let id = |byte: u8| ModelId([byte; 32]);
        let meant = |name: &str| resolve(name, &offered).map(|meant| meant.id);
        let text = meant("own").unwrap_err().to_string();
        for words in ["own@0a0a0a0a", "own@0b0b0b0b", &"0a".repeat(32), &"0b".repeat(32)] {
            assert!(text.contains(words), "{text}");
        }
        assert_eq!(meant("own@0a0a0a0a"), Ok(id(0x0a)));
        assert_eq!(meant("own@0B0B0B0B0B"), Ok(id(0x0b)));
        assert_eq!(meant(&"0b".repeat(32)), Ok(id(0x0b)));
        assert_eq!(meant("single"), Ok(id(0x0c)));
        assert_eq!(meant("single@0c0c0c0c"), Ok(id(0x0c)));
        assert_eq!(meant(&"0d".repeat(32)), Ok(id(0x0d)), "by its id, one whose name nobody has proved");
        for wrong in ["single@0a0a0a0a", "own@0a0a", "own@", "@0a0a0a0a", "nothing", "\u{1b}[2J"] {
            let text = meant(wrong).unwrap_err().to_string();
            assert!(!text.contains('\u{1b}'), "{text:?}");
        }
        let meant = resolve("own@0a0a0a0a", &offered).unwrap();
        assert_eq!((meant.kind, meant.weights.output), (Some(TaskKind::Generate), 7), "as its manifest says");
    }

    #[test]
    fn a_name_of_the_catalogue_is_the_catalogues_whoever_offers_what() {
        let real = known("all-minilm-l6-v2").unwrap();
        let offered = [model("0a", Some("all-minilm-l6-v2"), "all-minilm-l6-v2@0a0a0a0a")];
        assert_eq!(resolve("all-minilm-l6-v2", &offered), Ok(real));
        assert_eq!(resolve("all-minilm-l6-v2@0a0a0a0a", &offered).unwrap().id, ModelId([0x0a; 32]));
    }

    #[test]
    fn what_is_on_offer_is_named_as_far_as_a_line_holds_it() {
        let named = |count: usize| {
            let offered: Vec<OfferedModel> =
                (0..count).map(|number| model("0a", None, &format!("m{number}"))).collect();
            resolve("bombyx-chat-tinny", &offered).unwrap_err().to_string()
        };
        let said = |offered: &str| {
            format!(
                "nobody offers `bombyx-chat-tinny` at the moment; {offered}; did you mean `bombyx-chat-tiny`?"
            )
        };
        assert_eq!(named(0), said("nothing is on offer"));
        assert_eq!(named(2), said("on offer: m0, m1"));
        assert!(named(11).contains("m7 and 3 more"));
    }
}

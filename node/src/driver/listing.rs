//! What is on offer, out of what providers say and what manifests prove.

use std::collections::BTreeMap;

use bombyx_protocol::ident::Prefix;
use bombyx_protocol::market::ask::Ask;
use bombyx_protocol::work::order::{ModelId, TaskKind, Tier};
use bombyx_protocol::work::price::{Price, Weights};

use crate::engine::manifests::{Manifests, ModelFacts};
use crate::status::models::{DIGITS_MIN, ModelPrice, ModelWeights, OfferedModel, task};

/// Lists the models that these asks offer, by name and then by id.
pub(super) fn list<'a>(
    asks: impl Iterator<Item = (&'a Ask, Prefix)>,
    manifests: &Manifests,
) -> Vec<OfferedModel> {
    let mut by_model: BTreeMap<ModelId, Vec<(&Ask, Prefix)>> = BTreeMap::new();
    for (ask, prefix) in asks {
        // Of one that contradicts the manifest, nothing is believed.
        if manifests.get(&ask.model).is_none_or(|facts| facts.kind == ask.kind) {
            by_model.entry(ask.model).or_default().push((ask, prefix));
        }
    }
    let labels = labels(by_model.keys(), manifests);
    let mut listed: Vec<OfferedModel> = by_model
        .iter()
        .filter_map(|(id, asks)| {
            let label = labels.get(id).cloned().unwrap_or_else(|| id.to_string());
            offered(*id, label, asks, manifests.get(id))
        })
        .collect();
    listed.sort_by(|a, b| (&a.label, &a.id).cmp(&(&b.label, &b.id)));
    listed
}

fn offered(
    id: ModelId,
    label: String,
    asks: &[(&Ask, Prefix)],
    facts: Option<&ModelFacts>,
) -> Option<OfferedModel> {
    let kind = facts.map_or_else(|| asks.first().map(|(ask, _)| ask.kind), |facts| Some(facts.kind))?;
    let mut by_prefix: BTreeMap<Prefix, Price> = BTreeMap::new();
    for (ask, prefix) in asks {
        by_prefix.entry(*prefix).and_modify(|lowest| *lowest = ask.price.min(*lowest)).or_insert(ask.price);
    }
    let mut prices: Vec<Price> = by_prefix.into_values().collect();
    prices.sort_unstable();
    let mut tiers: Vec<Tier> = asks.iter().map(|(ask, _)| ask.tier).collect();
    tiers.sort_unstable();
    tiers.dedup();
    let context_tokens = facts.map(|facts| facts.context_tokens);
    let weights = facts.map_or(Weights::DEFAULT, |facts| facts.weights);
    // What somebody offers, and no more than the model can hold.
    let largest_answer = |context: u32| asks.iter().map(|(ask, _)| ask.output_max.min(context)).max();
    Some(OfferedModel {
        id: id.to_string(),
        name: facts.map(|facts| facts.name.clone()),
        label,
        task: task(kind).to_owned(),
        context_tokens,
        output_tokens_max: context_tokens.filter(|_| kind == TaskKind::Generate).and_then(largest_answer),
        weights: ModelWeights { input: weights.input, cached: weights.cached, output: weights.output },
        tiers: tiers.into_iter().map(tier_word).map(str::to_owned).collect(),
        providers: asks.len(),
        lowest: price(*prices.first()?, weights),
        usual: price(*prices.get(prices.len().saturating_sub(1) / 2)?, weights),
    })
}

/// Returns what to call each model: its name, unless another one has it too. A name of the catalogue
/// is the catalogue's.
fn labels<'a>(ids: impl Iterator<Item = &'a ModelId>, manifests: &Manifests) -> BTreeMap<ModelId, String> {
    let mut by_name: BTreeMap<&str, Vec<ModelId>> = BTreeMap::new();
    for id in ids {
        if let Some(facts) = manifests.get(id) {
            by_name.entry(&facts.name).or_default().push(*id);
        }
    }
    let mut labels = BTreeMap::new();
    for (name, ids) in by_name {
        let catalogued = Manifests::catalogued(name);
        for id in &ids {
            let is_alone = catalogued.map_or(ids.len() == 1, |catalogued| catalogued == *id);
            let label = if is_alone { name.to_owned() } else { format!("{name}@{}", digits(id, &ids)) };
            labels.insert(*id, label);
        }
    }
    labels
}

/// Returns as many digits of an id as tell it from the others.
fn digits(id: &ModelId, others: &[ModelId]) -> String {
    let text = id.to_string();
    let is_shared = |length: usize| {
        others.iter().any(|other| other != id && other.to_string().get(..length) == text.get(..length))
    };
    let length = (DIGITS_MIN..text.len()).find(|length| !is_shared(*length)).unwrap_or(text.len());
    text.get(..length).unwrap_or(&text).to_owned()
}

fn price(price: Price, weights: Weights) -> ModelPrice {
    let nano = |units: u32| price.bill(u128::from(units)).map(|nano| nano.0);
    ModelPrice {
        per_k_units_nano: price.0,
        per_job_nano: nano(Weights::JOB),
        input_per_k_nano: nano(weights.input.saturating_mul(1_000)),
        output_per_k_nano: nano(weights.output.saturating_mul(1_000)),
    }
}

const fn tier_word(tier: Tier) -> &'static str {
    match tier {
        Tier::Open => "open",
        Tier::Confidential => "confidential",
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use bombyx_gpu::catalog;
    use bombyx_protocol::ident::NodeId;
    use bombyx_protocol::market::seek::SeekId;
    use bombyx_protocol::wire::extension::{Extensions, Features};

    use super::*;

    const CHAT: &str = "bombyx-chat-tiny";

    /// A model that is the catalogue's but for its name and its source.
    fn model(name: &str, source: &str) -> (ModelId, Vec<u8>) {
        let mut manifest = catalog::find(CHAT).unwrap().manifest().clone();
        (manifest.name, manifest.source) = (name.into(), source.into());
        (ModelId(manifest.id().0), manifest.canonical_json())
    }

    fn ask(provider: u8, model: ModelId, name: &str, price: u64) -> Ask {
        Ask {
            provider: NodeId([provider; 32]),
            model,
            name: name.into(),
            kind: TaskKind::Generate,
            price: Price(price),
            context_tokens: 1,
            output_max: u32::MAX,
            read_tps: 1,
            write_tps: 1,
            start_ms: 1,
            tier: Tier::Open,
            seek: SeekId([0; 16]),
            valid_ms: 1,
            features: Features::OWN,
            extensions: Extensions::NONE,
        }
    }

    fn listed(asks: &[Ask], known: &[(ModelId, Vec<u8>)]) -> Vec<OfferedModel> {
        let mut manifests = Manifests::open("nowhere".into());
        manifests.sell(known);
        let prefix = |ask: &Ask| Prefix::of_ipv4([10, 0, ask.provider.0[0] / 64, 1]);
        list(asks.iter().map(|ask| (ask, prefix(ask))), &manifests)
    }

    #[test]
    fn offers_of_one_model_are_one_entry_and_an_owners_many_names_do_not_make_its_price() {
        let (id, json) = model("own", "");
        let mut asks: Vec<Ask> = (0..64).map(|provider| ask(provider, id, "own", 1)).collect();
        asks.extend([ask(64, id, "own", 40), ask(128, id, "own", 50)]);
        let [entry] = &listed(&asks, &[(id, json)])[..] else { panic!() };
        assert_eq!((entry.providers, entry.label.as_str(), entry.task.as_str()), (66, "own", "chat"));
        assert_eq!((entry.lowest.per_k_units_nano, entry.usual.per_k_units_nano), (1, 40));
        assert_eq!((entry.context_tokens, entry.output_tokens_max), (Some(2_048), Some(2_048)));
        assert_eq!((entry.usual.per_job_nano, entry.usual.output_per_k_nano), (Some(11), Some(2_400)));
        assert_eq!(entry.tiers, ["open"]);
    }

    #[test]
    fn a_model_is_called_as_its_manifest_says_and_without_one_by_its_id() {
        let (id, json) = model("own", "");
        let lies = [ask(1, id, "all-minilm-l6-v2", 1)];
        assert_eq!(listed(&lies, &[(id, json)])[0].name.as_deref(), Some("own"));
        let [entry] = &listed(&lies, &[])[..] else { panic!() };
        assert_eq!((&entry.name, &entry.label, entry.context_tokens), (&None, &id.to_string(), None));
    }

    #[test]
    fn an_ask_that_contradicts_the_manifest_is_not_listed() {
        let (id, json) = model("own", "");
        let lie = Ask { kind: TaskKind::Embed, ..ask(1, id, "own", 0) };
        assert!(listed(std::slice::from_ref(&lie), &[(id, json.clone())]).is_empty());
        let [entry] = &listed(&[lie, ask(2, id, "own", 7)], &[(id, json)])[..] else { panic!() };
        assert_eq!((entry.providers, entry.lowest.per_k_units_nano), (1, 7));
    }

    #[test]
    fn two_models_of_one_name_are_told_apart_and_nobody_takes_a_name_of_the_catalogue() {
        let (first, second) = (model("own", "a"), model("own", "b"));
        let (real, fake) = (ModelId(catalog::find(CHAT).unwrap().id().0), model(CHAT, "mine"));
        let ids = [first.0, second.0, real, fake.0];
        let asks: Vec<Ask> = ids.iter().map(|id| ask(1, *id, "x", 1)).collect();
        let listed = listed(&asks, &[first.clone(), second.clone(), fake.clone()]);
        let label = |id: ModelId| {
            listed.iter().find(|model| model.id == id.to_string()).map(|model| model.label.clone()).unwrap()
        };
        assert_eq!(label(real), CHAT);
        for (id, name) in [(first.0, "own"), (second.0, "own"), (fake.0, CHAT)] {
            assert_eq!(label(id), format!("{name}@{}", &id.to_string()[..8]));
        }
    }

    #[test]
    fn ids_that_begin_alike_are_given_more_digits() {
        let mut close = [1; 32];
        close[5] = 2;
        let ids = [ModelId([1; 32]), ModelId(close)];
        assert_eq!(digits(&ids[0], &ids), "010101010101");
        assert_eq!(digits(&ids[0], &ids[..1]), "01010101");
    }
}

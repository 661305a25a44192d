//! Reading the configuration: the file, then the variables, with errors that name key, line and nearest key.

use std::ffi::OsString;
use std::io;
use std::path::Path;

use toml::{Table, Value};

use super::error::ConfigError;
use super::settings::NodeConfig;

/// The file in a node's home.
pub const FILE: &str = "config.toml";
/// What `init` writes: every key with its default, commented out.
pub const TEMPLATE: &str = include_str!("template.toml");

/// Longest configuration file in bytes.
const FILE_BYTES_MAX: u64 = 256 * 1024;
/// How alike a key must be to be suggested, from 0 to 1.
const LIKENESS_MIN: f64 = 0.6;

impl NodeConfig {
    /// Returns the configuration of the node in `home`: its file, if there is one, and the
    /// variables of this process.
    ///
    /// # Errors
    /// [`ConfigError`] says where and what to write instead.
    pub fn load(home: &Path) -> Result<Self, ConfigError> {
        let path = home.join(FILE);
        let io_error = |source| ConfigError::Io { path: path.clone(), source };
        let text = match std::fs::metadata(&path) {
            Ok(metadata) if metadata.len() > FILE_BYTES_MAX => {
                let why = format!("{} bytes; a configuration has at most {FILE_BYTES_MAX}", metadata.len());
                return Err(ConfigError::Invalid { place: path.display().to_string(), why });
            }
            Ok(_) => std::fs::read_to_string(&path).map_err(io_error)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(io_error(error)),
        };
        let config = Self::parse(&text, &path.display().to_string(), std::env::vars_os())?;
        Ok(Self { home: home.to_owned(), ..config })
    }

    /// Reads a configuration from the text of a file called `name`, and from variables.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn parse(
        text: &str,
        name: &str,
        variables: impl Iterator<Item = (OsString, OsString)>,
    ) -> Result<Self, ConfigError> {
        let place = |error: &toml::de::Error| match error.span() {
            Some(span) => format!("{name}:{}", 1 + text[..span.start].matches('\n').count()),
            None => name.to_owned(),
        };
        toml::from_str::<Self>(text).map_err(|error| explain(place(&error), &error))?;
        let mut table: Table = toml::from_str(text).map_err(|error| explain(place(&error), &error))?;
        for (variable, value) in variables {
            if let (Some(variable), Some(value)) = (variable.to_str(), value.to_str())
                && let Some((section, key)) = section_and_key(variable)
            {
                let value = typed_value(&section, &key, value)
                    .map_err(|error| explain(format!("variable {variable}"), &error))?;
                let section = table.entry(section).or_insert_with(|| Value::Table(Table::new()));
                if let Value::Table(section) = section {
                    section.insert(key, value);
                }
            }
        }
        table.try_into().map_err(|error| explain(name.to_owned(), &error))
    }
}

/// Splits the name of a variable: `BOMBYX_LEDGER_URL` is `url` in `ledger`; variables of no section are not for the configuration.
fn section_and_key(variable: &str) -> Option<(String, String)> {
    let (section, key) = variable.strip_prefix("BOMBYX_")?.split_once('_')?;
    let section = section.to_ascii_lowercase();
    let known = ["network", "ledger", "provide", "client", "gateway"].contains(&section.as_str());
    known.then(|| (section, key.to_ascii_lowercase()))
}

/// Returns the value of a variable in the type that its key has: a number or truth value, a text,
/// or a list of texts.
fn typed_value(section: &str, key: &str, text: &str) -> Result<Value, toml::de::Error> {
    let list = text.split(',').filter(|part| !part.is_empty()).map(Value::from).collect();
    let readings = [
        toml::from_str::<Table>(&format!("value = {text}")).ok().and_then(|mut table| table.remove("value")),
        Some(Value::from(text)),
        Some(Value::Array(list)),
    ];
    let fits = |value: &Value| {
        let inner = Table::from_iter([(key.to_owned(), value.clone())]);
        Table::from_iter([(section.to_owned(), Value::Table(inner))]).try_into::<NodeConfig>()
    };
    let mut refused = None;
    for value in readings.into_iter().flatten() {
        match fits(&value) {
            Ok(_) => return Ok(value),
            // The first reading is the one the writer most likely meant.
            Err(error) => refused = refused.or(Some(error)),
        }
    }
    Err(refused.expect("a text is always read as a text at least"))
}

fn explain(place: String, error: &toml::de::Error) -> ConfigError {
    let message = error.message();
    // The only words of the parser for a key that a structure does not have; the keys it has follow.
    if let Some(rest) = message.strip_prefix("unknown field `") {
        let mut names = rest.split('`').step_by(2);
        let key = names.next().unwrap_or_default().to_owned();
        let nearest = nearest(&key, names).map(str::to_owned);
        return ConfigError::UnknownKey { place, key, nearest };
    }
    ConfigError::Invalid { place, why: message.trim().to_owned() }
}

/// Returns the name that is most like a key, if one is like it at all.
pub(crate) fn nearest<'a>(key: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    names
        .map(|name| (strsim::normalized_damerau_levenshtein(key, name), name))
        .filter(|(likeness, _)| *likeness >= LIKENESS_MIN)
        .max_by(|(a, one), (b, other)| a.total_cmp(b).then(other.cmp(one)))
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn parse(text: &str, variables: &[(&str, &str)]) -> Result<NodeConfig, ConfigError> {
        let variables = variables.iter().map(|(name, value)| (name.into(), value.into()));
        NodeConfig::parse(text, "config.toml", variables)
    }

    #[test]
    fn the_template_holds_every_key_with_its_default() {
        assert_eq!(parse(TEMPLATE, &[]).unwrap(), NodeConfig::default());
        let bare =
            |line: &str| line.strip_prefix("# ").filter(|rest| rest.contains(" = ")).map(str::to_owned);
        let all: Vec<String> = TEMPLATE.lines().map(|line| bare(line).unwrap_or(line.to_owned())).collect();
        let mut shown = NodeConfig::default();
        // The one key whose default is to be left out: the template shows an example.
        shown.gateway.nano_per_ms = Some(10);
        assert_eq!(parse(&all.join("\n"), &[]).unwrap(), shown);
        let given: Table = toml::from_str(&all.join("\n")).unwrap();
        for (section, keys) in given {
            // A section with one wrong key makes the parser list the right ones: all of them are in the template.
            let error = toml::from_str::<NodeConfig>(&format!("[{section}]\nx = 1")).unwrap_err();
            let listed = error.message().matches('`').count() / 2 - 1;
            assert_eq!(listed, keys.as_table().unwrap().len(), "{section}: {}", error.message());
        }
    }

    #[test]
    fn an_unknown_key_is_named_with_its_line_and_the_nearest_key() {
        let error = parse("[network]\nname = \"x\"\nlisen = []\n", &[]).unwrap_err().to_string();
        assert_eq!(error, "config.toml:3: unknown key `lisen`; did you mean `listen`?");
        let error = parse("\n[leger]\nurl = \"x\"\n", &[]).unwrap_err().to_string();
        assert_eq!(error, "config.toml:2: unknown key `leger`; did you mean `ledger`?");
        let error = parse("[provide]\nqqq = 1", &[]).unwrap_err().to_string();
        assert_eq!(error, "config.toml:2: unknown key `qqq`");
    }

    #[test]
    fn a_wrong_value_is_named_with_its_line() {
        let error = parse("[provide]\nslots = 4\nprice_in = \"cheap\"\n", &[]).unwrap_err().to_string();
        assert!(error.starts_with("config.toml:3: not an amount of coins"), "{error}");
        let error = parse("[provide]\nslots = \"four\"\n", &[]).unwrap_err().to_string();
        assert!(error.starts_with("config.toml:2: invalid type"), "{error}");
        let error = parse("[provide]\nep = \"gpu\"\n", &[]).unwrap_err().to_string();
        assert!(
            error.starts_with("config.toml:2: `gpu` is no execution provider; choose one of "),
            "{error}"
        );
        let error = parse("[provide\n", &[]).unwrap_err().to_string();
        assert!(error.starts_with("config.toml:1: "), "{error}");
    }

    #[test]
    fn a_variable_counts_more_than_the_file() {
        let file = "[provide]\nprice_in = \"0.5\"\nslots = 2\n[network]\njoin = [\"/a\"]\n";
        let config = parse(
            file,
            &[
                ("BOMBYX_PROVIDE_PRICE_IN", "0.25"),
                ("BOMBYX_PROVIDE_MODELS", "all-minilm-l6-v2,bombyx-chat-tiny"),
                ("BOMBYX_CLIENT_LEASES", "false"),
                ("BOMBYX_LEDGER_URL", "http://127.0.0.1:1"),
                ("BOMBYX_CACHE", "elsewhere"),
            ],
        )
        .unwrap();
        assert_eq!(config.provide.price_in.0.0, 250_000_000);
        assert_eq!(config.provide.models, ["all-minilm-l6-v2", "bombyx-chat-tiny"]);
        assert_eq!((config.provide.slots, config.client.leases), (2, false));
        assert_eq!((config.ledger.url.as_str(), config.network.join.len()), ("http://127.0.0.1:1", 1));
    }

    #[test]
    fn a_variable_that_cannot_be_used_is_named() {
        let error = parse("", &[("BOMBYX_PROVIDE_SLOT", "1")]).unwrap_err().to_string();
        assert_eq!(error, "variable BOMBYX_PROVIDE_SLOT: unknown key `slot`; did you mean `slots`?");
        let error = parse("", &[("BOMBYX_PROVIDE_SLOTS", "many")]).unwrap_err().to_string();
        assert!(error.starts_with("variable BOMBYX_PROVIDE_SLOTS: invalid type"), "{error}");
    }
}

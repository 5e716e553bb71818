//! The client's `infill` settings.
//!
//! Takes them as JSON, at the start and whenever they change, key by key: one that is missing keeps what it was, `null`
//! is the default, and one that cannot be understood is named and keeps what it was. Keys of the client's own are left
//! alone.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::Duration;

use serde_json::Value;

use crate::models::settings::Choice;

/// The longest delay that settings may ask for.
const LONGEST_DELAY: Duration = Duration::from_secs(10);

/// What holds for every document of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Whether anything is suggested at all.
    pub enabled: bool,
    /// Language ids that are switched on or off; `*` is every other one.
    pub languages: BTreeMap<String, bool>,
    /// Files that are left alone, as in `.gitignore`.
    pub exclude: Vec<String>,
    /// Whether anything is done that the user has not asked for by hand.
    pub automatic: bool,
    /// How long to wait after a key; none is as the rhythm of the typing has it.
    pub delay: Option<Duration>,
    /// Whether suggestions end with the cursor's line.
    pub single_line: bool,
    /// Whether the model may be shown excerpts of other open documents.
    pub neighbours: bool,
    /// Whether the files of the workspace may say which model is used: somebody else may have written them.
    pub trusted: bool,
    /// Which model, and how it is run.
    pub choice: Choice,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            enabled: true,
            languages: BTreeMap::new(),
            exclude: Vec::new(),
            automatic: true,
            delay: None,
            single_line: false,
            neighbours: true,
            trusted: true,
            choice: Choice::default(),
        }
    }
}

impl Settings {
    /// Takes over what is said. Gives what is wrong with it, a line a key.
    pub fn take(&mut self, said: &Value) -> Vec<String> {
        let Some(said) = said.as_object() else {
            return match said {
                Value::Null => Vec::new(),
                other => vec![format!(
                    "the settings infill must be an object, not {other}"
                )],
            };
        };
        // What was tuned to the model before does not fit another one.
        if said.contains_key("model") && !said.contains_key("template") {
            self.choice.template = None;
        }
        let taken = said.iter().map(|(key, value)| self.take_one(key, value));
        taken.filter_map(Result::err).collect()
    }

    /// Whether a language is switched on.
    pub fn speaks(&self, language: &str) -> bool {
        let named = self.languages.get(language);
        *named.or_else(|| self.languages.get("*")).unwrap_or(&true)
    }

    fn take_one(&mut self, key: &str, value: &Value) -> Result<(), String> {
        let said = Said { key, value };
        match key {
            "enabled" => self.enabled = said.switch()?.unwrap_or(true),
            "languages" => self.languages = said.switches()?,
            "exclude" => self.exclude = said.texts()?,
            "automatic" => self.automatic = said.switch()?.unwrap_or(true),
            "delay" => self.delay = said.delay()?,
            "singleLine" => self.single_line = said.switch()?.unwrap_or(false),
            "neighbours" => self.neighbours = said.switch()?.unwrap_or(true),
            "trusted" => self.trusted = said.switch()?.unwrap_or(true),
            "model" => self.choice.model = said.text()?,
            "quant" => self.choice.quant = said.named()?,
            "template" => self.choice.template = said.text()?,
            "threads" => self.choice.threads = said.count()?,
            "window" => self.choice.window = said.count()?,
            "device" => self.choice.device = said.named()?,
            "memory" => self.choice.memory = said.count()?,
            "vram" => self.choice.vram = said.count()?,
            "kv" => self.choice.kv = said.named()?,
            "idle" => self.choice.idle = said.count()?,
            _ => {}
        }
        Ok(())
    }
}

/// One setting as the client wrote it.
struct Said<'a> {
    key: &'a str,
    value: &'a Value,
}

impl Said<'_> {
    fn must_be(&self, what: &str) -> String {
        format!(
            "the setting infill.{} must be {what}, not {}",
            self.key, self.value
        )
    }

    fn switch(&self) -> Result<Option<bool>, String> {
        match self.value {
            Value::Null => Ok(None),
            Value::Bool(switch) => Ok(Some(*switch)),
            _ => Err(self.must_be("true or false")),
        }
    }

    /// An empty text is what settings pages send for a field that is left empty.
    fn text(&self) -> Result<Option<String>, String> {
        match self.value {
            Value::Null => Ok(None),
            Value::String(text) => Ok((!text.is_empty()).then(|| text.clone())),
            _ => Err(self.must_be("a text")),
        }
    }

    /// One of several names.
    fn named<T: FromStr<Err = String>>(&self) -> Result<Option<T>, String> {
        let named = self.text()?.map(|name| name.parse()).transpose();
        named.map_err(|why| format!("the setting infill.{}: {why}", self.key))
    }

    fn count(&self) -> Result<Option<usize>, String> {
        let count = self
            .value
            .as_u64()
            .and_then(|count| usize::try_from(count).ok());
        match (self.value, count) {
            (Value::Null, _) => Ok(None),
            (_, Some(count)) if count > 0 => Ok(Some(count)),
            _ => Err(self.must_be("a number from 1")),
        }
    }

    fn delay(&self) -> Result<Option<Duration>, String> {
        let delay = self.value.as_u64().map(Duration::from_millis);
        match (self.value, delay) {
            (Value::Null, _) => Ok(None),
            (_, Some(delay)) if delay <= LONGEST_DELAY => Ok(Some(delay)),
            _ => {
                let most = LONGEST_DELAY.as_millis();
                Err(self.must_be(&format!("milliseconds from 0 to {most}")))
            }
        }
    }

    fn texts(&self) -> Result<Vec<String>, String> {
        let what = "a list of texts";
        match self.value {
            Value::Null => Ok(Vec::new()),
            Value::Array(texts) => {
                let texts = texts.iter().map(|text| text.as_str().map(str::to_owned));
                let texts: Option<Vec<String>> = texts.collect();
                texts.ok_or_else(|| self.must_be(what))
            }
            _ => Err(self.must_be(what)),
        }
    }

    fn switches(&self) -> Result<BTreeMap<String, bool>, String> {
        let what = "an object of language ids, each true or false";
        match self.value {
            Value::Null => Ok(BTreeMap::new()),
            Value::Object(map) => {
                let switches = map.iter().map(|(id, on)| Some((id.clone(), on.as_bool()?)));
                let switches: Option<BTreeMap<String, bool>> = switches.collect();
                switches.ok_or_else(|| self.must_be(what))
            }
            _ => Err(self.must_be(what)),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn keys_are_taken_over_one_by_one() {
        let mut settings = Settings::default();
        let faults = settings.take(&json!({
            "automatic": false, "delay": 120, "model": "m", "template": "t", "threads": 2,
            "languages": { "*": false, "rust": true }, "exclude": ["*.sql"], "singleLine": true,
            "neighbours": false, "kv": "q8", "server": { "path": "/usr/bin/infill" },
        }));
        assert_eq!(faults, Vec::<String>::new());
        assert!(!settings.automatic && settings.single_line && !settings.neighbours);
        assert_eq!(settings.delay, Some(Duration::from_millis(120)));
        assert_eq!(settings.choice.kv, Some(glm::KvType::Q8));
        assert_eq!(settings.exclude, ["*.sql"]);
        assert!(settings.speaks("rust") && !settings.speaks("python"));

        assert_eq!(
            settings.take(&json!({ "automatic": null, "model": "n" })),
            Vec::<String>::new()
        );
        assert!(settings.automatic && settings.single_line);
        let Choice {
            model,
            template,
            threads,
            ..
        } = &settings.choice;
        assert_eq!(
            (model.as_deref(), template, *threads),
            (Some("n"), &None, Some(2))
        );
        assert_eq!(settings.take(&json!({ "model": "" })), Vec::<String>::new());
        assert_eq!(settings.choice.model, None);
    }

    #[test]
    fn what_is_wrong_is_named_and_keeps_what_it_was() {
        for (said, key) in [
            (json!({ "automatic": "no" }), "infill.automatic must be"),
            (json!({ "enabled": 1 }), "infill.enabled must be"),
            (json!({ "neighbours": "some" }), "infill.neighbours must be"),
            (json!({ "delay": -1 }), "infill.delay must be"),
            (json!({ "delay": "fast" }), "infill.delay must be"),
            (json!({ "delay": 99_999 }), "infill.delay must be"),
            (
                json!({ "languages": { "rust": "on" } }),
                "infill.languages must be",
            ),
            (json!({ "exclude": "*.sql" }), "infill.exclude must be"),
            (json!({ "exclude": [1] }), "infill.exclude must be"),
            (json!({ "model": 1 }), "infill.model must be"),
            (json!({ "quant": "q9" }), "infill.quant: "),
            (json!({ "device": "tpu" }), "infill.device: "),
            (json!({ "kv": "q4" }), "infill.kv: "),
            (json!({ "kv": 8 }), "infill.kv must be"),
            (json!({ "threads": 0 }), "infill.threads must be"),
            (json!(["automatic"]), "the settings infill must be"),
        ] {
            let mut settings = Settings::default();
            let faults = settings.take(&said);
            assert!(
                matches!(&faults[..], [fault] if fault.contains(key)),
                "{faults:?}"
            );
            assert_eq!(settings, Settings::default());
        }
        let mut settings = Settings::default();
        let faults = settings.take(&json!({ "delay": -1, "automatic": false }));
        assert_eq!(faults.len(), 1);
        assert!(!settings.automatic, "the other keys hold");
    }
}

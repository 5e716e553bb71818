//! Which files may be read into a prompt: the one way for text to a model.
//!
//! Takes rules as text, in the syntax of `.gitignore`, each from a source that counts from a folder; gives the rule
//! that keeps a file out, so that a person can be told. It touches no disk: who has the rules' files reads them.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use ignore::Match;
use ignore::gitignore::{Gitignore, GitignoreBuilder};

/// Names of files that hold keys and passwords, and of those of the same kind that hold none.
const SECRETS: &[&str] = &[
    ".env",
    ".env.*",
    "!.env.example",
    "!.env.sample",
    "!.env.template",
    "*.pem",
    "*.key",
    "*.p12",
    "*.pfx",
    "*.jks",
    "*.keystore",
    "*.kdbx",
    "*.tfvars",
    "!*.example.tfvars",
    "id_rsa",
    "id_dsa",
    "id_ecdsa",
    "id_ed25519",
    ".netrc",
    "_netrc",
    ".pgpass",
    ".htpasswd",
    ".pypirc",
    ".git-credentials",
    "**/.aws/credentials",
    "**/.docker/config.json",
    "**/.kube/config",
    "credentials.json",
    "service-account*.json",
    "secrets.yml",
    "secrets.yaml",
    "secrets.json",
    "secrets.toml",
];

/// The gate that has no rule but these names. Made once: compiling them takes longer than all else that a gate does.
static BUILT_IN: LazyLock<Gate> = LazyLock::new(|| {
    let mut gate = Gate {
        sources: Vec::new(),
    };
    let name = "the built-in list of files that hold secrets";
    // The table's rules are tested to be rules.
    let _ = gate.add(Path::new(""), name, SECRETS);
    gate
});

/// The file's rules in the order of their weight.
#[derive(Clone)]
pub struct Gate {
    /// The heaviest last.
    sources: Vec<Source>,
}

#[derive(Clone)]
struct Source {
    folder: PathBuf,
    rules: Gitignore,
    name: String,
}

/// Why a file is kept out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Excluded {
    /// The rule as it is written.
    pub rule: String,
    /// Where it is written, for people.
    pub source: String,
}

impl Default for Gate {
    /// With the names of files that hold secrets, and no other rule.
    fn default() -> Gate {
        BUILT_IN.clone()
    }
}

impl Gate {
    /// Adds rules that count from this folder and outweigh those before them. What is no rule is left out.
    ///
    /// # Errors
    /// The lines that are no rules, and why.
    pub fn add<S: AsRef<str>>(
        &mut self,
        folder: &Path,
        name: &str,
        rules: &[S],
    ) -> Result<(), String> {
        let mut builder = GitignoreBuilder::new(folder);
        let mut faults: Vec<String> = Vec::new();
        for (number, rule) in rules.iter().enumerate() {
            if let Err(error) = builder.add_line(None, rule.as_ref()) {
                faults.push(format!("{name}:{}: {error}", number + 1));
            }
        }
        match builder.build() {
            Ok(rules) => self.sources.push(Source {
                folder: folder.to_owned(),
                rules,
                name: name.to_owned(),
            }),
            Err(error) => faults.push(format!("{name}: {error}")),
        }
        match faults.is_empty() {
            true => Ok(()),
            false => Err(faults.join("; ")),
        }
    }

    /// The rule that keeps the file of this absolute path out, if one does. The heaviest source that has a rule for the
    /// file decides, so that a `!` can let in again what another one keeps out.
    pub fn excluded(&self, file: &Path) -> Option<Excluded> {
        for source in self.sources.iter().rev() {
            // The rules of an empty folder are about names anywhere.
            let place = match source.folder.as_os_str().is_empty() {
                true => file.components().skip_while(is_root).collect(),
                false => match file.strip_prefix(&source.folder) {
                    Ok(place) => place.to_owned(),
                    Err(_) => continue,
                },
            };
            match source.rules.matched_path_or_any_parents(&place, false) {
                Match::None => {}
                Match::Whitelist(_) => return None,
                Match::Ignore(glob) => {
                    return Some(Excluded {
                        rule: glob.original().to_owned(),
                        source: source.name.clone(),
                    });
                }
            }
        }
        None
    }
}

fn is_root(part: &std::path::Component) -> bool {
    use std::path::Component::{Prefix, RootDir};
    matches!(part, RootDir | Prefix(_))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(gate: &Gate, file: &str) -> Option<String> {
        gate.excluded(Path::new(file)).map(|excluded| excluded.rule)
    }

    #[test]
    fn files_of_secrets_are_kept_out_by_their_names() {
        let mut gate = Gate {
            sources: Vec::new(),
        };
        assert_eq!(gate.add(Path::new(""), "secrets", SECRETS), Ok(()));
        let gate = Gate::default();
        for (file, expected) in [
            ("/w/.env", Some(".env")),
            ("/w/a/b/.env.production", Some(".env.*")),
            ("/w/.env.example", None),
            ("/w/tls/server.key", Some("*.key")),
            ("/home/u/.ssh/id_ed25519", Some("id_ed25519")),
            ("/home/u/.aws/credentials", Some("**/.aws/credentials")),
            ("/w/src/environment.py", None),
            ("/w/src/key.rs", None),
            ("/w/credentials.py", None),
        ] {
            assert_eq!(rule(&gate, file).as_deref(), expected, "{file}");
        }
    }

    #[test]
    fn rules_count_from_their_folder_and_the_last_source_decides() {
        let mut gate = Gate::default();
        let added = gate.add(
            Path::new("/w"),
            "settings",
            &["*.sql", "/gen/", "!keep.sql"],
        );
        assert_eq!(added, Ok(()));
        let added = gate.add(
            Path::new("/w/db"),
            "/w/db/.infillignore",
            &["!x.sql", "*.key.pub", "# a", ""],
        );
        assert_eq!(added, Ok(()));
        for (file, expected) in [
            ("/w/a/b.sql", Some("*.sql")),
            ("/v/a/b.sql", None),
            ("/w/keep.sql", None),
            ("/w/gen/deep/a.rs", Some("/gen/")),
            ("/w/src/gen/a.rs", None),
            ("/w/db/x.sql", None),
            ("/w/db/y.sql", Some("*.sql")),
            ("/w/db/y.key.pub", Some("*.key.pub")),
            ("/w/db/y.key", Some("*.key")),
        ] {
            assert_eq!(rule(&gate, file).as_deref(), expected, "{file}");
        }
    }

    #[test]
    fn what_is_no_rule_is_named_and_the_others_hold() {
        let mut gate = Gate::default();
        let error = gate
            .add(Path::new("/w"), "settings", &["[z-a]", "*.sql"])
            .unwrap_err();
        assert!(error.starts_with("settings:1: "), "{error}");
        assert_eq!(rule(&gate, "/w/a.sql").as_deref(), Some("*.sql"));
    }
}

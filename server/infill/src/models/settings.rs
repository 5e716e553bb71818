//! `infill.toml`: which model to use and how.
//!
//! Looked up from a folder upwards, then in the user's folder of settings. It names models and never fetches any: a
//! workspace that somebody else wrote cannot make infill touch the network.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context as _, anyhow, bail};
use glm::{KvType, Quant, Weights};
use serde::{Deserialize, Deserializer};

/// The file's name.
pub const NAME: &str = "infill.toml";

/// The most that is read of it, in bytes: a workspace of somebody else's may have anything under this name.
const LARGEST: u64 = 1 << 20;

/// Which model to use and how; what is not said is left to others or to the model's own files.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Choice {
    /// A name in the store, or a path. None is the model that is built in.
    pub model: Option<String>,
    /// What to quantize its matrices to as it is loaded.
    #[serde(deserialize_with = "named")]
    pub quant: Option<Quant>,
    /// The prompt template to use instead of the one that its files call for.
    pub template: Option<String>,
    /// How many threads it runs on.
    #[serde(deserialize_with = "count")]
    pub threads: Option<usize>,
    /// Most tokens of text around the cursor that it reads.
    #[serde(deserialize_with = "count")]
    pub window: Option<usize>,
    /// What it runs on.
    #[serde(deserialize_with = "named")]
    pub device: Option<Device>,
    /// Most memory that it may take, weights and caches together, in MiB.
    #[serde(deserialize_with = "count")]
    pub memory: Option<usize>,
    /// Most memory of a GPU that it may take, in MiB; what does not fit runs on the processor.
    #[serde(deserialize_with = "count")]
    pub vram: Option<usize>,
    /// What keys and values are kept as on a GPU; on the processor they are f32.
    #[serde(deserialize_with = "named")]
    pub kv: Option<KvType>,
    /// After how many minutes without a question its weights leave a GPU's memory; they come back for the next.
    #[serde(deserialize_with = "count")]
    pub idle: Option<usize>,
}

/// What a model runs on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Device {
    /// The GPUs that this build can use, if there are any; else the processor.
    #[default]
    Auto,
    /// The processor.
    Cpu,
    /// The NVIDIA GPUs of these numbers, one if that holds the model.
    Cuda(Vec<usize>),
    /// The NVIDIA GPUs of these numbers, on every layer together.
    Together(Vec<usize>),
    /// Apple's GPU.
    Metal,
}

impl FromStr for Device {
    type Err = String;

    fn from_str(name: &str) -> Result<Device, String> {
        let numbered = |between: char| {
            let numbers = name.strip_prefix("cuda:")?.split(between);
            let numbers: Vec<usize> = numbers.map(|one| one.parse().ok()).collect::<Option<_>>()?;
            // Nothing is taken twice from one GPU.
            let is_new = |(index, number)| !numbers[..index].contains(number);
            numbers.iter().enumerate().all(is_new).then_some(numbers)
        };
        let in_turn = || numbered(',').map(Device::Cuda);
        let together = || numbered('+').map(Device::Together);
        match name {
            "auto" => Ok(Device::Auto),
            "cpu" => Ok(Device::Cpu),
            "cuda" => Ok(Device::Cuda(vec![0])),
             "metal" => Ok(Device::Metal),
            _ => in_turn().or_else(together).ok_or_else(|| {
                format!(
                    "there is no device `{name}`; there are auto, cpu, metal and cuda:N, N from 0, or several as in cuda:0,1, which take layers in turn, or cuda:0+1, which share every layer"
                )
            }),
        }
    }
}

fn named<'de, D: Deserializer<'de>, T: FromStr<Err = String>>(
    from: D,
) -> Result<Option<T>, D::Error> {
    Option::<String>::deserialize(from)?
        .map(|name| name.parse().map_err(serde::de::Error::custom))
        .transpose()
}

fn count<'de, D: Deserializer<'de>>(from: D) -> Result<Option<usize>, D::Error> {
    match Option::<usize>::deserialize(from)? {
        Some(0) => Err(serde::de::Error::custom("it must be at least 1")),
        count => Ok(count),
    }
}

impl Choice {
    /// What the settings say that hold in this folder. A path in them counts from their file's folder.
    ///
    /// # Errors
    /// If the file cannot be read or says something that is not known, with file, line and key.
    pub fn found_from(folder: &Path) -> anyhow::Result<Choice> {
        Choice::first_of(folder.ancestors().map(Path::to_owned).chain(user_folder()))
    }

    /// What the user's own settings say, whatever folder is worked in.
    ///
    /// # Errors
    /// As [`Choice::found_from`].
    pub fn of_user() -> anyhow::Result<Choice> {
        Choice::first_of(user_folder().into_iter())
    }

    /// The file that [`Choice::found_from`] reads, if there is one.
    pub fn file_from(folder: &Path) -> Option<PathBuf> {
        let folders = folder.ancestors().map(Path::to_owned).chain(user_folder());
        let mut files = folders.map(|folder| folder.join(NAME));
        // Also one that cannot be read: it is found, and told of, where it is read.
        files.find(|file| fs::metadata(file).is_ok())
    }

    /// Where the user's own settings lie, or would.
    pub fn file_of_user() -> Option<PathBuf> {
        user_folder().map(|folder| folder.join(NAME))
    }

    fn first_of(folders: impl Iterator<Item = PathBuf>) -> anyhow::Result<Choice> {
        for path in folders.map(|folder| folder.join(NAME)) {
            match fs::metadata(&path) {
                Ok(data) if !data.is_file() || data.len() > LARGEST => {
                    bail!("{} is not a file of settings", path.display());
                }
                Ok(_) => {
                    let text = fs::read_to_string(&path)
                        .with_context(|| format!("cannot read {}", path.display()))?;
                    return Choice::parse(&text, &path);
                }
                Err(error)
                    if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {}
                Err(error) => {
                    return Err(error).with_context(|| format!("cannot read {}", path.display()));
                }
            }
        }
        Ok(Choice::default())
    }

    fn parse(text: &str, path: &Path) -> anyhow::Result<Choice> {
        let mut choice: Choice = toml::from_str(text).map_err(|error| {
            let start = error.span().map_or(0, |span| span.start);
            let line = text[..start].matches('\n').count() + 1;
            let key = text.lines().nth(line - 1).unwrap_or_default().trim();
            anyhow!("{}:{line}: {} (`{key}`)", path.display(), error.message())
        })?;
        if let (Some(model), Some(folder)) = (&mut choice.model, path.parent()) {
            let beside = folder.join(&*model);
            if is_path(model) || beside.exists() {
                *model = beside.display().to_string();
            }
        }
        Ok(choice)
    }

    /// This choice, and where it says nothing, the other. A model chosen here is not read by the other's template.
    pub fn or(self, other: Choice) -> Choice {
        let template = if self.model.is_none() {
            other.template
        } else {
            None
        };
        Choice {
            model: self.model.or(other.model),
            quant: self.quant.or(other.quant),
            template: self.template.or(template),
            threads: self.threads.or(other.threads),
            window: self.window.or(other.window),
            device: self.device.or(other.device),
            memory: self.memory.or(other.memory),
            vram: self.vram.or(other.vram),
            kv: self.kv.or(other.kv),
            idle: self.idle.or(other.idle),
        }
    }

    /// The type that matrices are brought to.
    pub fn weights(&self) -> Weights {
        self.quant.map_or(Weights::AsStored, Weights::Quantized)
    }
}

/// Where the user's own settings lie.
fn user_folder() -> Option<PathBuf> {
    dirs::config_dir().map(|folder| folder.join("infill"))
}

/// Whether a person who writes this means a path and not a name.
pub fn is_path(model: &str) -> bool {
    let path = PathBuf::from(model);
    path.is_absolute() || model.starts_with('.') || model.ends_with(".gguf")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_known_keys_or_errors_with_a_line() {
        let parse = |text| Choice::parse(text, Path::new("/w/infill.toml"));
        let choice = parse("model = \"./m.gguf\"\nquant = \"q4_k\"\n").unwrap();
        assert_eq!(choice.model.as_deref(), Some("/w/./m.gguf"));
        assert_eq!(choice.quant, Some(Quant::Q4K));
        for (said, kv) in [
            ("", None),
            ("kv = \"f16\"", Some(KvType::F16)),
            ("kv = \"q8\"", Some(KvType::Q8)),
        ] {
            assert_eq!(parse(said).unwrap().kv, kv);
        }
        for (said, device) in [
            ("device = \"auto\"", Device::Auto),
            ("device = \"cpu\"", Device::Cpu),
            ("device = \"cuda\"", Device::Cuda(vec![0])),
            ("device = \"metal\"", Device::Metal),
            ("device = \"cuda:3\"", Device::Cuda(vec![3])),
            ("device = \"cuda:1,0\"", Device::Cuda(vec![1, 0])),
            ("device = \"cuda:2+0+1\"", Device::Together(vec![2, 0, 1])),
        ] {
            let choice = parse(said).unwrap();
            assert_eq!(choice.device, Some(device));
        }
        for (text, place) in [
            ("model = \"a\"\nmodle = \"b\"\n", "infill.toml:2:"),
            ("\nquant = \"q9\"\n", "infill.toml:2:"),
            ("model = 1\n", "infill.toml:1:"),
            ("threads = 0\n", "infill.toml:1:"),
            ("device = \"tpu\"\n", "infill.toml:1:"),
            ("device = \"metal:0\"\n", "infill.toml:1:"),
            ("device = \"cuda:one\"\n", "infill.toml:1:"),
            ("device = \"cuda:0,\"\n", "infill.toml:1:"),
            ("device = \"cuda:1,1\"\n", "infill.toml:1:"),
            ("device = \"cuda:1+1\"\n", "infill.toml:1:"),
            ("device = \"cuda:0+\"\n", "infill.toml:1:"),
            ("device = \"cuda:0+1,2\"\n", "infill.toml:1:"),
            ("vram = 0\n", "infill.toml:1:"),
            ("kv = \"q4\"\n", "infill.toml:1:"),
            ("kv = 8\n", "infill.toml:1:"),
            ("idle = 0\n", "infill.toml:1:"),
            ("window = -5\n", "infill.toml:1:"),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(place), "{error}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn what_is_no_file_is_not_read() {
        let folder = std::env::temp_dir().join(format!("infill-settings-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        std::os::unix::fs::symlink("/dev/zero", folder.join(NAME)).unwrap();
        let error = Choice::found_from(&folder).unwrap_err().to_string();
        fs::remove_dir_all(&folder).unwrap();
        assert!(error.contains("not a file of settings"), "{error}");
    }

    #[test]
    fn a_model_of_its_own_leaves_the_others_template() {
        let file = Choice {
            model: Some("a".to_owned()),
            quant: Some(Quant::Int8),
            kv: Some(KvType::Q8),
            template: Some("glm4_v1".to_owned()),
            ..Choice::default()
        };
        let flag = Choice {
            model: Some("b".to_owned()),
            ..Choice::default()
        };
        let both = flag.or(file.clone());
        assert_eq!((both.model.as_deref(), both.template), (Some("b"), None));
        assert_eq!(Choice::default().or(file.clone()), file);
    }
}

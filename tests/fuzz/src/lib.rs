//! What the fuzz targets share: how several files are put into one input, and what is done with a model's files.
//!
//! Takes the bytes of an input, writes them as the files of a checkpoint into a folder of this process and opens it as
//! a user would. Everything but a panic is a good answer.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

/// What stands between the files of an input.
pub const BETWEEN: &[u8] = b"\n%%%%\n";

/// A length of zeros that a file goes on with after the bytes of the input: tensors without their numbers.
pub const TAIL: u64 = 1 << 12;

/// Tokens that a model which opens is run on.
const TOKENS: usize = 5;

/// Most bytes of a model that is opened: loading is in proportion to it.
const SMALL: u64 = 4 << 20;

/// Small models of the makers' layouts, among the data of the other tests.
pub const MODELS: &[&str] = &[
    "glm-erf",
    "chatglm6b-mask",
    "chatglm2-ratio500",
    "glm-hf-grouped",
    "glm4-grouped",
];

/// The names of all models among the data.
pub fn cases() -> Vec<String> {
    let entries = fs::read_dir(case("")).expect("the data lie beside the other tests");
    let names = entries.map(|entry| entry.expect("the folder can be listed").file_name());
    let mut names: Vec<_> = names
        .map(|name| name.to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// The folder of a model.
pub fn case(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../data/parity")
        .join(name)
}

/// The files of a model.
pub fn model(name: &str) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(case(name)).expect("the data lie beside the other tests");
    let files = entries.map(|entry| entry.expect("the folder can be listed").path());
    files
        .filter(|path| path.is_file() && !path.ends_with("expected.safetensors"))
        .map(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            (
                name.into_owned(),
                fs::read(&path).expect("the file can be read"),
            )
        })
        .collect()
}

/// The files of an input; those that are missing are empty.
pub fn files<const N: usize>(mut input: &[u8]) -> [&[u8]; N] {
    let mut files = [&[][..]; N];
    for (place, file) in files.iter_mut().enumerate() {
        let end = input
            .windows(BETWEEN.len())
            .position(|window| window == BETWEEN && place + 1 < N);
        match end {
            Some(end) => {
                *file = &input[..end];
                input = &input[end + BETWEEN.len()..];
            }
            None => {
                *file = input;
                input = &[];
            }
        }
    }
    files
}

/// An input of these files.
pub fn input(first: Option<u8>, files: &[&[u8]]) -> Vec<u8> {
    let mut input: Vec<u8> = first.into_iter().collect();
    input.extend(files.join(BETWEEN));
    input
}

/// A folder for the files of one input after the other.
pub struct Folder(PathBuf);

impl Folder {
    /// An empty folder where the system keeps temporary files (`TMPDIR`).
    pub fn new(target: &str) -> Folder {
        let path =
            std::env::temp_dir().join(format!("infill-fuzz-{target}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).expect("a folder for temporary files can be made");
        Folder(path)
    }

    /// Writes a file, or sees to it that there is none.
    pub fn put(&self, name: &str, bytes: Option<&[u8]>) {
        self.put_with_tail(name, bytes, 0);
    }

    /// Writes a file that ends in pages of zeros.
    pub fn put_with_tail(&self, name: &str, bytes: Option<&[u8]>, pages: u8) {
        let path = self.0.join(name);
        let Some(bytes) = bytes else {
            let _ = fs::remove_file(path);
            return;
        };
        fs::write(&path, bytes).expect("the folder takes files");
        if pages > 0 {
            let file = File::options().write(true).open(&path);
            file.and_then(|file| file.set_len(bytes.len() as u64 + u64::from(pages) * TAIL))
                .expect("the file can grow");
        }
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

/// Does with a model's files what a user may do with them: looks at them, checks them, runs them.
pub fn open(path: &Path) {
    let source = glm::Source::Path(path.to_owned());
    let Ok(info) = glm::inspect(&source) else {
        return;
    };
    for weights in [glm::Weights::AsStored, glm::Weights::F32] {
        info.memory(weights, info.config.context);
    }
    if info.bytes > SMALL {
        return;
    }
    glm::verify(&source).expect("what could be looked at can be checked");
    let Ok(model) = glm::Model::open(&source, glm::Weights::AsStored, &glm::Device::Cpu) else {
        return;
    };
    let places: Vec<u32> = (0..TOKENS as u32).collect();
    let chunk = glm::Chunk {
        ids: &[0; TOKENS],
        positions: [&places, &[0; TOKENS]],
        prefix: 2.into(),
    };
    let part = glm::Part {
        chunk,
        kv: &mut model.kv(),
        want: glm::Want::Last,
    };
    let _ = model.forward(&mut [part], &mut model.workspace(), &mut || false);
}

//! A checkpoint of PyTorch: the archive, then the `config.json` or, if there is none, what training left.
#![no_main]

use fuzz::Folder;
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static FOLDER: LazyLock<Folder> = LazyLock::new(|| Folder::new("torch"));

fuzz_target!(|input: &[u8]| {
    let [archive, config] = fuzz::files(input);
    FOLDER.put("model.pt", Some(archive));
    let config = Some(config).filter(|config| !config.is_empty());
    FOLDER.put("config.json", config);
    fuzz::open(FOLDER.path());
});

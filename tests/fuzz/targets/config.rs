//! A `config.json` beside the weights of a small model; the first byte says of which.
#![no_main]

use fuzz::{Folder, MODELS};
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static FOLDERS: LazyLock<Vec<Folder>> = LazyLock::new(|| {
    let folder = |name: &&str| {
        let folder = Folder::new(name);
        for (file, bytes) in fuzz::model(name) {
            folder.put(&file, Some(&bytes));
        }
        folder
    };
    MODELS.iter().map(folder).collect()
});

fuzz_target!(|input: &[u8]| {
    let Some((&model, config)) = input.split_first() else {
        return;
    };
    let folder = &FOLDERS[usize::from(model) % FOLDERS.len()];
    folder.put("config.json", Some(config));
    fuzz::open(folder.path());
});

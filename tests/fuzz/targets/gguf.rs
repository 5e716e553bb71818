//! A GGUF file: pages of zeros at its end (a byte), then its bytes. What opens is checked and run, and its tokenizer read.
#![no_main]

use fuzz::Folder;
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static FOLDER: LazyLock<Folder> = LazyLock::new(|| Folder::new("gguf"));

fuzz_target!(|input: &[u8]| {
    let Some((&pages, bytes)) = input.split_first() else {
        return;
    };
    FOLDER.put_with_tail("model.gguf", Some(bytes), pages);
    fuzz::open(&FOLDER.path().join("model.gguf"));
});

//! A folder of safetensors: pages of zeros at the end of the shard (a byte), the shard's header, its index if there is
//! one, and the `config.json`.
#![no_main]

use fuzz::Folder;
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static FOLDER: LazyLock<Folder> = LazyLock::new(|| Folder::new("safetensors"));

fuzz_target!(|input: &[u8]| {
    let Some((&pages, input)) = input.split_first() else {
        return;
    };
    let [shard, index, config] = fuzz::files(input);
    FOLDER.put_with_tail("model.safetensors", Some(shard), pages);
    let index = Some(index).filter(|index| !index.is_empty());
    FOLDER.put("model.safetensors.index.json", index);
    FOLDER.put("config.json", Some(config));
    fuzz::open(FOLDER.path());
});

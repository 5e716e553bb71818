//! The embedded model, from its file in the repository. A checkout without it skips what needs it
//! and says so.

use std::path::Path;

use glm::{Device, Model, Source, Weights};
use vocab::Vocab;

/// The model and its vocabulary, or a line on standard error about what is skipped.
pub fn load(skipped: &str) -> Option<(Model, Vocab)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../server/models/infill-v2.gguf");
    if !path.exists() {
        eprintln!("{skipped}: skipped, since server/models/infill-v2.gguf is not there");
        return None;
    }
    let model =
        Model::open(&Source::Path(path), Weights::AsStored, &Device::Cpu).expect("the model loads");
    let json = model
        .tokenizer_json()
        .expect("the embedded model has a tokenizer");
    let vocab = Vocab::from_json(json).expect("its tokenizer loads");
    Some((model, vocab))
}

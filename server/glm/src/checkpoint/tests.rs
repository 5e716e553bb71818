//! Tests of our own files: whole, cut, and with wrong values and bytes.

mod containers;
mod descriptions;
#[cfg(target_os = "linux")]
mod peak;

use crate::{
    Device, Error, Model, Source,
    fixture::{self, Random, Weights},
};

fn file() -> Vec<u8> {
    let config = fixture::glm(1, 32, 2, 32, 20, 8);
    fixture::gguf(&config, Weights::Q8, 1, None)
}

fn load(bytes: &[u8]) -> Result<Model, Error> {
    Model::open(
        &Source::Static(bytes.to_vec().leak()),
        crate::Weights::AsStored,
        &Device::Cpu,
    )
}

/// The file with one run of bytes replaced by another of the same length.
fn replaced(from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut bytes = file();
    let at = bytes
        .windows(from.len())
        .position(|window| window == from)
        .unwrap();
    bytes[at..at + to.len()].copy_from_slice(to);
    bytes
}

#[track_caller]
fn refused(bytes: &[u8], parts: &[&str]) {
    let message = load(bytes)
        .err()
        .expect("a damaged file is refused")
        .to_string();
    for part in parts {
        assert!(message.contains(part), "`{message}` does not say `{part}`");
    }
}

#[test]
fn errors_name_the_key_or_the_tensor() {
    assert!(load(&file()).is_ok());
    refused(b"", &["built into the binary", "magic"]);
    refused(b"PK\x03\x04 not a model", &["magic"]);
    refused(&replaced(b"GGUF\x03", b"GGUF\x01"), &["version is 1"]);
    refused(
        &replaced(b"glm.block_count", b"glm.block_kount"),
        &["`glm.block_count` is missing"],
    );
    refused(
        &replaced(b"gelu_tanh", b"swishglu9"),
        &["`glm.activation` is `swishglu9`"],
    );
    refused(
        &replaced(b"blk.0.ffn_up.weight", b"blk.9.ffn_up.weight"),
        &["`blk.0.ffn_up.weight` is missing"],
    );
    let heads = [
        b"head_count".as_slice(),
        &10u32.to_le_bytes(),
        &2u64.to_le_bytes(),
    ]
    .concat();
    let three = [
        b"head_count".as_slice(),
        &10u32.to_le_bytes(),
        &3u64.to_le_bytes(),
    ]
    .concat();
    refused(&replaced(&heads, &three), &["does not divide the 3 heads"]);
    let shape = |width: u64| {
        [
            b"output_norm.bias".as_slice(),
            &1u32.to_le_bytes(),
            &width.to_le_bytes(),
        ]
        .concat()
    };
    refused(
        &replaced(&shape(32), &shape(31)),
        &["`output_norm.bias` has shape [31]", "[32]"],
    );
    refused(
        &replaced(&shape(32), &shape(u64::MAX)),
        &["`output_norm.bias`", "past the end"],
    );
}

#[test]
fn a_missing_file_is_named() {
    let error = Model::open(
        &Source::Path("no/such/model.gguf".into()),
        crate::Weights::AsStored,
        &Device::Cpu,
    )
    .err()
    .unwrap();
    assert!(error.to_string().contains("no/such/model.gguf"), "{error}");
}

#[test]
fn a_file_cut_anywhere_is_refused() {
    let whole = file();
    let header = whole
        .windows(4)
        .rposition(|window| window == b"blk.")
        .unwrap()
        + 80;
    for length in (0..header).chain((header..whole.len()).step_by(997)) {
        assert!(load(&whole[..length]).is_err(), "cut to {length} bytes");
    }
}

#[test]
fn a_file_with_wrong_bytes_never_panics() {
    let whole = file();
    let header = whole
        .windows(4)
        .rposition(|window| window == b"blk.")
        .unwrap()
        + 80;
    let mut random = Random::new(7);
    for _ in 0..3000 {
        let mut bytes = whole.clone();
        for _ in 0..1 + random.bits() % 3 {
            bytes[random.bits() as usize % header] = random.bits() as u8;
        }
        if let Ok(model) = load(&bytes) {
            assert!(model.config().width > 0);
        }
    }
}

//! The compiled kernels.
//!
//! Takes `kernels.ptx.gz`, which `compile.py` makes from the `.cu` files of this folder, gives its text, which the driver
//! compiles on for the GPU that there is.

use flate2::read::GzDecoder;
use std::io::{self, Read};

/// The text of all kernels.
pub(crate) fn ptx() -> io::Result<String> {
    const PACKED: &[u8] = include_bytes!("kernels.ptx.gz");
    let mut text = String::new();
    GzDecoder::new(PACKED).read_to_string(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, path::PathBuf};

    const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/kernels/cuda");

    fn sources(endings: &[&str]) -> Vec<PathBuf> {
        let files = fs::read_dir(FOLDER).unwrap();
        let files = files.map(|file| file.unwrap().path());
        let mut files: Vec<PathBuf> = files
            .filter(|path| {
                endings
                    .iter()
                    .any(|it| path.extension().is_some_and(|e| e == *it))
            })
            .collect();
        files.sort();
        files
    }

    /// Whoever changes a source has to compile the kernels again. That the text is what a compiler gives, a test of
    /// `tests/it` sees, which has one.
    #[test]
    fn the_text_is_that_of_the_sources() {
        // FNV-1a, as in compile.py.
        let mut print = 0xcbf2_9ce4_8422_2325u64;
        for path in sources(&["cu", "cuh"]) {
            let name = path.file_name().unwrap().to_str().unwrap();
            let bytes = [name.as_bytes(), b"\0", &fs::read(&path).unwrap(), b"\0"].concat();
            for byte in bytes {
                print = (print ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
            }
        }
        let text = ptx().unwrap();
        let first = text.lines().next().unwrap();
        let words = "kernels.ptx.gz is stale: run tests/setup/nvrtc.sh, and compile.py with the Python that it prints";
        assert_eq!(first, format!("// sources {print:016x}"), "{words}");
    }

    /// Every kernel that a source exports, whatever makes it, is in the text. Names that macros put together end before
    /// what they are given.
    #[test]
    fn the_text_has_the_kernels() {
        let text = ptx().unwrap();
        assert!(text.contains(".target sm_80\n"));
        for path in sources(&["cu"]) {
            let source = fs::read_to_string(&path).unwrap();
            let names = source
                .lines()
                .filter_map(|line| line.trim().strip_prefix("EXPORT("));
            for name in names {
                let name = name.trim_end_matches(')').split("##").next().unwrap();
                let entry = format!(".entry {name}");
                assert!(text.contains(&entry), "{name} of {}", path.display());
            }
        }
    }
}

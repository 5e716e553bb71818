//! The zip container as PyTorch writes it: files stored without compression, found by the directory at the end.
//!
//! Takes the whole archive as bytes, gives views into it. Every number of the directory is checked against the bytes
//! that are there; compressed or encrypted files are refused. Knows nothing of what the files are.

use std::collections::BTreeMap;

/// Bytes of the record that ends an archive, without its comment.
const END: usize = 22;
/// Longest comment after it.
const COMMENT: usize = 0xffff;
/// Bytes of the record that tells where the large archive's end record lies.
const LOCATOR: usize = 20;

/// The files of an archive by name.
pub(crate) fn files(bytes: &[u8]) -> Result<BTreeMap<&str, &[u8]>, String> {
    let (count, mut at) = directory(bytes)?;
    let mut files = BTreeMap::new();
    for _ in 0..count {
        if field(bytes, at, 4)? != 0x0201_4b50 {
            return Err(format!("its zip directory is damaged at byte {at}"));
        }
        let flags = field(bytes, at + 8, 2)?;
        let method = field(bytes, at + 10, 2)?;
        let name_length = field(bytes, at + 28, 2)? as usize;
        let extra_length = field(bytes, at + 30, 2)? as usize;
        let comment_length = field(bytes, at + 32, 2)? as usize;
        let mut sizes = [
            field(bytes, at + 24, 4)?,
            field(bytes, at + 20, 4)?,
            field(bytes, at + 42, 4)?,
        ];
        let name = take(bytes, at + 46, name_length)?;
        let name = std::str::from_utf8(name)
            .map_err(|_| format!("the file name at byte {} of its zip is not UTF-8", at + 46))?;
        let extra = take(bytes, at + 46 + name_length, extra_length)?;
        widen(extra, &mut sizes).map_err(|why| format!("`{name}` in its zip {why}"))?;
        let [size, stored, header] = sizes;
        if flags & 1 != 0 || method != 0 || size != stored {
            return Err(format!(
                "`{name}` in its zip is compressed or encrypted; save the checkpoint again with torch.save"
            ));
        }
        let data =
            local(bytes, header, size).map_err(|why| format!("`{name}` in its zip {why}"))?;
        if files.insert(name, data).is_some() {
            return Err(format!("`{name}` is in its zip twice"));
        }
        at += 46 + name_length + extra_length + comment_length;
    }
    Ok(files)
}

/// How many files the archive has, and where its directory begins.
fn directory(bytes: &[u8]) -> Result<(u64, usize), String> {
    let from = bytes.len().saturating_sub(END + COMMENT);
    let end = bytes[from..]
        .windows(4)
        .rposition(|window| window == b"PK\x05\x06")
        .map(|position| from + position)
        .ok_or("its zip directory is missing: the file is cut short")?;
    let mut count = field(bytes, end + 10, 2)?;
    let mut start = field(bytes, end + 16, 4)?;
    let locator = end
        .checked_sub(LOCATOR)
        .filter(|&at| bytes[at..].starts_with(b"PK\x06\x07"));
    if let Some(locator) = locator {
        let large = place(field(bytes, locator + 8, 8)?)?;
        if field(bytes, large, 4)? != 0x0606_4b50 {
            return Err("its zip directory is damaged".to_owned());
        }
        count = field(bytes, large + 32, 8)?;
        start = field(bytes, large + 48, 8)?;
    }
    Ok((count, place(start)?))
}

/// Replaces sizes that do not fit 32 bits by those of the zip64 extra field.
fn widen(extra: &[u8], sizes: &mut [u64; 3]) -> Result<(), String> {
    let mut at = 0;
    while at + 4 <= extra.len() {
        let (tag, length) = (field(extra, at, 2)?, field(extra, at + 2, 2)? as usize);
        if tag == 1 {
            let mut from = at + 4;
            for size in sizes.iter_mut().filter(|size| **size == 0xffff_ffff) {
                *size = field(extra, from, 8)?;
                from += 8;
            }
        }
        at += 4 + length;
    }
    Ok(())
}

/// The bytes of the file whose own header is at `header`.
fn local(bytes: &[u8], header: u64, size: u64) -> Result<&[u8], String> {
    let header = place(header)?;
    if field(bytes, header, 4)? != 0x0403_4b50 {
        return Err("does not begin where the directory says".to_owned());
    }
    let skip = field(bytes, header + 26, 2)? + field(bytes, header + 28, 2)?;
    take(bytes, header + 30 + skip as usize, place(size)?)
}

fn place(number: u64) -> Result<usize, String> {
    // A place in a file is far from where adding a record's size overflows.
    usize::try_from(number)
        .ok()
        .filter(|&place| place <= isize::MAX as usize / 2)
        .ok_or_else(|| "its zip directory names a place past any file's end".to_owned())
}

fn take(bytes: &[u8], at: usize, count: usize) -> Result<&[u8], String> {
    bytes
        .get(at..at.saturating_add(count))
        .ok_or_else(|| "reaches past the end of the file".to_owned())
}

/// A little-endian number of `width` bytes.
fn field(bytes: &[u8], at: usize, width: usize) -> Result<u64, String> {
    let mut number = [0; 8];
    number[..width].copy_from_slice(
        take(bytes, at, width)
            .map_err(|_| format!("its zip directory is cut short at byte {at}"))?,
    );
    Ok(u64::from_le_bytes(number))
}

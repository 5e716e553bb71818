//! The part of Python's pickle format that PyTorch writes, read as data.
//!
//! Takes the bytes of a `data.pkl`, gives the tensors that its nested dictionaries name. A pickle is a program for a
//! small stack machine that may call any function of Python; this reader runs none. It builds dictionaries, lists,
//! tuples and descriptions of tensors, keeps a few harmless objects that training scripts save beside the weights as
//! blanks, and refuses everything else by name. Memory is bounded by the bytes read and by the constants below.

use super::view::{LONGEST_NAME, MOST_TENSORS};
use std::collections::HashMap;

/// Objects with a content that a pickle may build; a checkpoint of 100,000 tensors has about 700,000.
const MOST_OBJECTS: usize = 1 << 20;
/// Values that may lie on the stack at once.
const MOST_STACKED: usize = 1 << 20;
/// How deep the dictionaries that lead to a tensor may be nested.
const DEEPEST: usize = 12;

/// Values that all dictionaries and sequences may hold together, and the memo.
const MOST_HELD: usize = 1 << 22;

/// A tensor as the pickle describes it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Described<'a> {
    /// The storage's type, as in `HalfStorage`.
    pub(crate) storage: &'a str,
    /// The name of the storage's file in the archive.
    pub(crate) key: &'a str,
    /// First element in the storage.
    pub(crate) offset: u64,
    pub(crate) shape: Vec<u64>,
    /// Elements from one index to the next, a dimension.
    pub(crate) strides: Vec<u64>,
}

/// Objects that scripts save beside the weights, in checkpoints of this family; they become blanks.
const HARMLESS: &[&str] = &[
    "argparse Namespace",
    "_codecs encode",
    "numpy dtype",
    "numpy ndarray",
    "numpy.core.multiarray _reconstruct",
    "numpy.core.multiarray scalar",
    "numpy._core.multiarray _reconstruct",
    "numpy._core.multiarray scalar",
    "torch Size",
    "torch device",
    "torch.serialization _get_layout",
    "__builtin__ set",
    "builtins set",
    "__builtin__ bytearray",
    "builtins bytearray",
    "pathlib PosixPath",
];

/// What the stack holds.
#[derive(Debug, Clone, Copy)]
enum Value<'a> {
    Blank,
    Integer(i64),
    Text(&'a str),
    /// A function or class, as "module name".
    Global(Global<'a>),
    /// An object with a content, by its number.
    Object(usize),
}

#[derive(Debug, Clone, Copy)]
enum Global<'a> {
    OrderedDict,
    RebuildTensor,
    RebuildParameter,
    Storage(&'a str),
    Harmless,
}

#[derive(Debug)]
enum Object<'a> {
    Dictionary(Vec<(Value<'a>, Value<'a>)>),
    Sequence(Vec<Value<'a>>),
    Storage { kind: &'a str, key: &'a str },
    Tensor(Described<'a>),
}

/// All tensors of the pickle, by the names that lead to them, joined with dots.
pub(crate) fn tensors(bytes: &[u8]) -> Result<Vec<(String, Described<'_>)>, String> {
    let mut machine = Machine {
        bytes,
        at: 0,
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
        objects: Vec::new(),
        held: 0,
    };
    let top = machine.run()?;
    let mut found = Vec::new();
    let mut seen = vec![false; machine.objects.len()];
    machine.collect(top, &mut String::new(), 0, &mut seen, &mut found)?;
    Ok(found)
}

struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    stack: Vec<Value<'a>>,
    /// Heights of the stack at each open mark.
    marks: Vec<usize>,
    memo: HashMap<u32, Value<'a>>,
    objects: Vec<Object<'a>>,
    /// Values that were put into objects or the memo.
    held: usize,
}

impl<'a> Machine<'a> {
    fn run(&mut self) -> Result<Value<'a>, String> {
        loop {
            let at = self.at;
            let code = self.take(1)?[0];
            if code == b'.' {
                return self.pop();
            }
            self.step(code).map_err(|why| match why {
                why if why.contains(" at byte ") => why,
                why => format!("{why} at byte {at} of its pickle"),
            })?;
            if self.stack.len() > MOST_STACKED || self.marks.len() > MOST_STACKED {
                return Err("its pickle nests more deeply than any checkpoint".to_owned());
            }
        }
    }

    fn step(&mut self, code: u8) -> Result<(), String> {
        match code {
            0x80 => match self.take(1)?[0] {
                2..=5 => {}
                version => return Err(format!("pickle protocol {version} is not known")),
            },
            0x95 => self.take(8).map(drop)?,
            b'(' => self.marks.push(self.stack.len()),
            b'0' => self.pop().map(drop)?,
            b'1' => self.pop_to_mark().map(drop)?,
            b'2' => {
                let top = self.top()?;
                self.stack.push(top);
            }
            b'N' | 0x88 | 0x89 => self.stack.push(Value::Blank),
            b'K' => self.integer(1)?,
            b'M' => self.integer(2)?,
            b'J' => {
                let number = i32::from_le_bytes(self.array()?);
                self.stack.push(Value::Integer(number.into()));
            }
            0x8a => self.long()?,
            b'G' => self.blank(8)?,
            b'X' => {
                let length = u32::from_le_bytes(self.array()?).into();
                self.text(length)?;
            }
            0x8c => {
                let length = self.take(1)?[0].into();
                self.text(length)?;
            }
            0x8d => {
                let length = u64::from_le_bytes(self.array()?);
                self.text(length)?;
            }
            b'U' | b'C' => {
                let length = self.take(1)?[0].into();
                self.blank(length)?;
            }
            b'T' | b'B' => {
                let length = u32::from_le_bytes(self.array()?).into();
                self.blank(length)?;
            }
            0x8e | 0x96 => {
                let length = u64::from_le_bytes(self.array()?);
                self.blank(length)?;
            }
            b'}' => self.create(Object::Dictionary(Vec::new()))?,
            b']' | b')' | 0x8f => self.create(Object::Sequence(Vec::new()))?,
            0x85..=0x87 => {
                let from = self.height(usize::from(code - 0x84))?;
                let items = self.stack.split_off(from);
                self.create(Object::Sequence(items))?;
            }
            b't' | b'l' => {
                let items = self.pop_to_mark()?;
                self.create(Object::Sequence(items))?;
            }
            b'd' => {
                let items = self.pop_to_mark()?;
                self.create(Object::Dictionary(Vec::new()))?;
                self.set(&items)?;
            }
            b's' => {
                let from = self.height(2)?;
                let items = self.stack.split_off(from);
                self.set(&items)?;
            }
            b'u' => {
                let items = self.pop_to_mark()?;
                self.set(&items)?;
            }
            b'a' => {
                let item = self.pop()?;
                self.append(vec![item])?;
            }
            b'e' | 0x90 => {
                let items = self.pop_to_mark()?;
                self.append(items)?;
            }
            b'q' => {
                let place = self.take(1)?[0].into();
                self.remember(place)?;
            }
            b'r' => {
                let place = u32::from_le_bytes(self.array()?);
                self.remember(place)?;
            }
            0x94 => self.remember(self.memo.len() as u32)?,
            b'h' => {
                let place = self.take(1)?[0].into();
                self.recall(place)?;
            }
            b'j' => {
                let place = u32::from_le_bytes(self.array()?);
                self.recall(place)?;
            }
            b'c' => {
                let module = self.line()?;
                let name = self.line()?;
                self.global(module, name)?;
            }
            0x93 => match (self.pop()?, self.pop()?) {
                (Value::Text(name), Value::Text(module)) => self.global(module, name)?,
                _ => return Err("a global without a name is asked for".to_owned()),
            },
            b'Q' => self.storage()?,
            b'R' | 0x81 => self.call()?,
            0x92 => {
                self.pop()?;
                self.call()?;
            }
            // The state of an object: attributes of a dictionary or of a blank, which no tensor's name goes through.
            b'b' => self.pop().map(drop)?,
            code => return Err(format!("the unknown pickle instruction {code:#04x} stands")),
        }
        Ok(())
    }

    fn take(&mut self, count: u64) -> Result<&'a [u8], String> {
        let end = usize::try_from(count)
            .ok()
            .and_then(|count| self.at.checked_add(count));
        let slice = end.and_then(|end| self.bytes.get(self.at..end));
        let slice = slice.ok_or_else(|| format!("its pickle is cut short at byte {}", self.at))?;
        self.at += slice.len();
        Ok(slice)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N as u64)?);
        Ok(array)
    }

    fn integer(&mut self, width: usize) -> Result<(), String> {
        let mut number = [0; 8];
        number[..width].copy_from_slice(self.take(width as u64)?);
        self.stack.push(Value::Integer(i64::from_le_bytes(number)));
        Ok(())
    }

    /// A number of any length; one that no size can be becomes a blank.
    fn long(&mut self) -> Result<(), String> {
        let length = self.take(1)?[0];
        let digits = self.take(length.into())?;
        let mut number = [0; 8];
        self.stack.push(match digits.len() {
            0..=8 => {
                let fill = digits.last().is_some_and(|&last| last >= 0x80);
                number[digits.len()..].fill(if fill { 0xff } else { 0 });
                number[..digits.len()].copy_from_slice(digits);
                Value::Integer(i64::from_le_bytes(number))
            }
            _ => Value::Blank,
        });
        Ok(())
    }

    fn text(&mut self, length: u64) -> Result<(), String> {
        let bytes = self.take(length)?;
        // Python may write lone surrogates, which no tensor's name has.
        self.stack
            .push(std::str::from_utf8(bytes).map_or(Value::Blank, Value::Text));
        Ok(())
    }

    fn blank(&mut self, length: u64) -> Result<(), String> {
        self.take(length)?;
        self.stack.push(Value::Blank);
        Ok(())
    }

    fn line(&mut self) -> Result<&'a str, String> {
        let rest = &self.bytes[self.at..];
        let length = rest.iter().take(256).position(|&byte| byte == b'\n');
        let line = self.take(length.ok_or("a global's name does not end")? as u64)?;
        self.take(1)?;
        std::str::from_utf8(line).map_err(|_| "a global's name is not UTF-8".to_owned())
    }

    fn pop(&mut self) -> Result<Value<'a>, String> {
        let from = self.height(1)?;
        Ok(self.stack.remove(from))
    }

    fn top(&self) -> Result<Value<'a>, String> {
        self.stack.last().copied().ok_or_else(empty)
    }

    /// The stack's height below its `count` topmost values; they may not reach below the last mark.
    fn height(&self, count: usize) -> Result<usize, String> {
        let floor = self.marks.last().copied().unwrap_or(0);
        self.stack
            .len()
            .checked_sub(count)
            .filter(|&height| height >= floor)
            .ok_or_else(empty)
    }

    fn pop_to_mark(&mut self) -> Result<Vec<Value<'a>>, String> {
        let mark = self.marks.pop().ok_or("a mark is missing")?;
        Ok(self.stack.split_off(mark))
    }

    fn create(&mut self, object: Object<'a>) -> Result<(), String> {
        if self.objects.len() == MOST_OBJECTS {
            return Err(format!("more than {MOST_OBJECTS} objects are built"));
        }
        if let Object::Sequence(items) = &object {
            self.hold(items.len())?;
        }
        self.stack.push(Value::Object(self.objects.len()));
        self.objects.push(object);
        Ok(())
    }

    /// Puts pairs of key and value into the dictionary on top; what is put into a blank is forgotten.
    fn set(&mut self, items: &[Value<'a>]) -> Result<(), String> {
        let (pairs, []) = items.as_chunks::<2>() else {
            return Err("a key without a value is set".to_owned());
        };
        self.hold(items.len())?;
        if let Value::Object(object) = self.top()?
            && let Object::Dictionary(dictionary) = &mut self.objects[object]
        {
            dictionary.extend(pairs.iter().map(|&[key, value]| (key, value)));
        }
        Ok(())
    }

    fn append(&mut self, items: Vec<Value<'a>>) -> Result<(), String> {
        self.hold(items.len())?;
        if let Value::Object(object) = self.top()?
            && let Object::Sequence(sequence) = &mut self.objects[object]
        {
            sequence.extend(items);
        }
        Ok(())
    }

    fn hold(&mut self, values: usize) -> Result<(), String> {
        self.held += values;
        if self.held > MOST_HELD {
            return Err(format!("more than {MOST_HELD} values are held"));
        }
        Ok(())
    }

    fn remember(&mut self, place: u32) -> Result<(), String> {
        let top = self.top()?;
        self.hold(1)?;
        self.memo.insert(place, top);
        Ok(())
    }

    fn recall(&mut self, place: u32) -> Result<(), String> {
        let value = self
            .memo
            .get(&place)
            .ok_or_else(|| format!("value {place} is recalled before it is there"))?;
        self.stack.push(*value);
        Ok(())
    }

    fn global(&mut self, module: &'a str, name: &'a str) -> Result<(), String> {
        let global = match (module, name) {
            ("collections", "OrderedDict" | "defaultdict") => Global::OrderedDict,
            ("torch._utils", "_rebuild_tensor_v2" | "_rebuild_tensor") => Global::RebuildTensor,
            ("torch._utils", "_rebuild_parameter") => Global::RebuildParameter,
            ("torch" | "torch.cuda", name) if name.ends_with("Storage") => Global::Storage(name),
            // Names of number types: torch.float16 and the like.
            ("torch", name)
                if name.starts_with(|c: char| c.is_ascii_lowercase())
                    && name.ends_with(|c: char| c.is_ascii_digit()) =>
            {
                Global::Harmless
            }
            _ if HARMLESS.contains(&format!("{module} {name}").as_str()) => Global::Harmless,
            _ => {
                return Err(format!(
                    "`{module}.{name}` is asked for, which is no part of a checkpoint and is not run; save the weights alone, as torch.save(model.state_dict(), …) does, or convert them to safetensors, for it stands"
                ));
            }
        };
        self.stack.push(Value::Global(global));
        Ok(())
    }

    /// A storage named from outside: ("storage", its class, its key, its place, its length).
    fn storage(&mut self) -> Result<(), String> {
        let identity = self.pop()?;
        match self.sequence(identity) {
            Some(
                &[
                    Value::Text("storage"),
                    Value::Global(Global::Storage(kind)),
                    Value::Text(key),
                    ..,
                ],
            ) => self.create(Object::Storage { kind, key }),
            _ => Err("something other than a tensor's storage is named".to_owned()),
        }
    }

    fn call(&mut self) -> Result<(), String> {
        let arguments = self.pop()?;
        match self.pop()? {
            Value::Global(Global::OrderedDict) => self.create(Object::Dictionary(Vec::new())),
            Value::Global(Global::RebuildTensor) => {
                let tensor = self
                    .tensor(arguments)
                    .ok_or("a tensor is described in an unknown way")?;
                self.create(Object::Tensor(tensor))
            }
            Value::Global(Global::RebuildParameter) => {
                let first = self
                    .sequence(arguments)
                    .and_then(|items| items.first().copied());
                self.stack
                    .push(first.ok_or("a parameter without a tensor is built")?);
                Ok(())
            }
            Value::Global(Global::Harmless | Global::Storage(_)) | Value::Blank => {
                self.stack.push(Value::Blank);
                Ok(())
            }
            _ => Err("something that is no function is called".to_owned()),
        }
    }

    /// The arguments of `_rebuild_tensor_v2`: storage, offset, shape, strides, and what does not matter here.
    fn tensor(&self, arguments: Value<'a>) -> Option<Described<'a>> {
        let &[
            Value::Object(storage),
            Value::Integer(offset),
            shape,
            strides,
            ..,
        ] = self.sequence(arguments)?
        else {
            return None;
        };
        let &Object::Storage { kind, key } = &self.objects[storage] else {
            return None;
        };
        let numbers = |value| {
            let items = self.sequence(value).filter(|items| items.len() <= 8)?;
            items
                .iter()
                .map(|item| match item {
                    Value::Integer(number) => u64::try_from(*number).ok(),
                    _ => None,
                })
                .collect::<Option<Vec<u64>>>()
        };
        Some(Described {
            storage: kind,
            key,
            offset: u64::try_from(offset).ok()?,
            shape: numbers(shape)?,
            strides: numbers(strides)?,
        })
    }

    fn sequence(&self, value: Value<'a>) -> Option<&[Value<'a>]> {
        match value {
            Value::Object(object) => match &self.objects[object] {
                Object::Sequence(items) => Some(items),
                _ => None,
            },
            _ => None,
        }
    }

    /// Walks the dictionaries, each once, so that one that holds itself or is named often costs no more.
    fn collect(
        &self,
        value: Value<'a>,
        name: &mut String,
        depth: usize,
        seen: &mut [bool],
        found: &mut Vec<(String, Described<'a>)>,
    ) -> Result<(), String> {
        let Value::Object(object) = value else {
            return Ok(());
        };
        match &self.objects[object] {
            Object::Tensor(_) if found.len() == MOST_TENSORS => {
                return Err(format!("its pickle names more than {MOST_TENSORS} tensors"));
            }
            Object::Tensor(tensor) => found.push((name.clone(), tensor.clone())),
            Object::Dictionary(pairs) if !seen[object] => {
                seen[object] = true;
                if depth == DEEPEST {
                    return Err("its pickle nests more deeply than any checkpoint".to_owned());
                }
                for &(key, value) in pairs {
                    let Value::Text(key) = key else { continue };
                    let length = name.len();
                    if length + key.len() >= LONGEST_NAME {
                        return Err("its pickle has a key longer than any tensor's name".to_owned());
                    }
                    if length > 0 {
                        name.push('.');
                    }
                    name.push_str(key);
                    self.collect(value, name, depth + 1, seen, found)?;
                    name.truncate(length);
                }
            }
            _ => {}
        }
        Ok(())
    }
}

fn empty() -> String {
    "a value is taken from the empty stack".to_owned()
}

//! A ring of the last few readings.
use std::{collections::VecDeque, fmt};
// <- import
// <- statement
mod units;
// <- import
// <- symbol
//  ^^^^^ name

const LIMIT: usize = 8;
// <- statement
//    ^^^^^ name

#[derive(Debug, Clone, Default)]
// <- statement
pub struct Ring<T> {
// <- symbol ... }
//         ^^^^ name
//                 ^ block ... }
    items: VecDeque<T>,
    // <- statement
    // <- symbol
    pub total: u64,
    // <- statement
    //  ^^^^^ name
}

enum Reading {
// <- statement ... }
//           ^ block ... }
    Missing,
    // <- statement
    Value { celsius: f32 },
    // <- symbol
    //    ^ block
}

impl<T: Copy> Ring<T> {
// <- symbol ... }
//            ^^^^ name
//                    ^ block ... }
    pub fn push(&mut self, item: T) -> Option<T> {
    // <- statement ... }
    //     ^^^^ name
    //                                           ^ block ... }
        let dropped = if self.items.len() == LIMIT {
        // <- statement ... };
        //                                         ^ block ... }
            self.items.pop_front()
            // <- statement
        } else {
        //     ^ block ... }
            None
            // <- statement
        };
        self.items.push_back(item);
        // <- statement
        for (index, _) in self.items.iter().enumerate() {
        // <- statement ... }
        //                                              ^ block ... }
            println!("{index}");
            // <- statement
        }
        dropped
        // <- statement
    }
}

impl fmt::Display for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
        // <- statement ... }
        //         ^ block ... }
            Reading::Missing => f.write_str("-"),
            // <- statement
            Reading::Value { celsius } => {
            // <- statement ... }
            //                            ^ block ... }
                let celsius = *celsius;
                write!(f, "{celsius:.1}")
                // <- statement
            }
        }
    }
}

trait Source {
// <- symbol
    type Item;
    // <- statement
    //   ^^^^ name
    fn next(&mut self) -> Option<Self::Item>;
    // <- statement
}

macro_rules! ring {
// <- statement ... }
//           ^^^^ name
    ($($item:expr),*) => { Ring { items: [$($item),*].into(), total: 0 } };
}

thread_local!(static SEEN: u32 = 0);
// <- statement

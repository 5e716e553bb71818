//! The queries of a language: where its blocks, statements, symbols and imports are.
//!
//! Takes the `.scm` files of `queries/<language>/`, which are part of the program, and gives each
//! compiled when it is first used. A file whose first line is `; inherits: <folder>` adds to that
//! folder's file of the same name. Running the queries over a tree is left to `text`.

use std::{iter, ops::Deref, sync::OnceLock};

use tree_sitter::{Query, QueryError};
use tree_sitter_language::LanguageFn;

use crate::table;

/// The queries of one language.
pub struct Queries {
    /// `@block`: the body of a function, a class, a loop or a branch, braces included. Where a
    /// grammar has no node for the body, the node that holds it.
    pub blocks: LazyQuery,
    /// `@statement`: a whole statement or declaration, also a member of a type.
    pub statements: LazyQuery,
    /// `@symbol`: a whole definition; `@name`: the name that it defines.
    pub symbols: LazyQuery,
    /// `@import`: a statement that brings in names from elsewhere.
    pub imports: LazyQuery,
}

impl Queries {
    /// The queries of a folder, from the texts of its files: blocks, statements, symbols, imports.
    pub(crate) const fn new(
        grammar: LanguageFn,
        folder: &'static str,
        [blocks, statements, symbols, imports]: [&'static str; 4],
    ) -> Queries {
        Queries {
            blocks: LazyQuery::new(grammar, folder, "blocks", blocks),
            statements: LazyQuery::new(grammar, folder, "statements", statements),
            symbols: LazyQuery::new(grammar, folder, "symbols", symbols),
            imports: LazyQuery::new(grammar, folder, "imports", imports),
        }
    }

    /// All four.
    pub fn each(&self) -> [&LazyQuery; 4] {
        [&self.blocks, &self.statements, &self.symbols, &self.imports]
    }

    /// The one whose file has this name.
    fn file(&self, name: &str) -> Option<&LazyQuery> {
        self.each().into_iter().find(|query| query.file == name)
    }
}

/// A query that is compiled when it is first used, as [`Query`] behind `*`, and then kept.
///
/// Compiling takes 1 ms for most grammars and up to 150 ms for C++, so that it matters to pay only
/// for what is used.
pub struct LazyQuery {
    grammar: LanguageFn,
    folder: &'static str,
    file: &'static str,
    text: &'static str,
    compiled: OnceLock<Query>,
}

/// A query that does not fit its grammar.
#[derive(Debug, thiserror::Error)]
#[error("compiling queries/{folder}/{file}.scm, with what it inherits before it: {source}")]
pub struct BadQuery {
    folder: &'static str,
    file: &'static str,
    source: QueryError,
}

impl LazyQuery {
    const fn new(
        grammar: LanguageFn,
        folder: &'static str,
        file: &'static str,
        text: &'static str,
    ) -> LazyQuery {
        LazyQuery {
            grammar,
            folder,
            file,
            text,
            compiled: OnceLock::new(),
        }
    }

    /// Compiles it anew, to say what is wrong with it. For tests: a user whose query does not
    /// compile gets one that finds nothing.
    ///
    /// # Errors
    /// It does not fit its grammar.
    pub fn check(&self) -> Result<Query, BadQuery> {
        Query::new(&self.grammar.into(), &self.with_ancestors()).map_err(|source| BadQuery {
            folder: self.folder,
            file: self.file,
            source,
        })
    }

    /// Its text after what it inherits, oldest first.
    fn with_ancestors(&self) -> String {
        let line = iter::successors(Some(self), |query| {
            table::folder(query.inherits()?)?.file(query.file)
        });
        // No family is deeper than this, and a ring of ancestors must end too.
        let mut texts: Vec<_> = line.take(4).map(|query| query.text).collect();
        texts.reverse();
        texts.join("\n")
    }

    fn inherits(&self) -> Option<&str> {
        let first = self.text.lines().next()?;
        first.strip_prefix("; inherits:").map(str::trim)
    }
}

impl Deref for LazyQuery {
    type Target = Query;

    fn deref(&self) -> &Query {
        self.compiled.get_or_init(|| {
            self.check().unwrap_or_else(|_| {
                Query::new(&self.grammar.into(), "")
                    .expect("an empty query fits every grammar that tree-sitter can load")
            })
        })
    }
}

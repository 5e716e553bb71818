//! The table of languages, one row each; to add a language, add a row.
//!
//! A row says how a file of the language is known, how it is commented, how CodeGeeX2 is told of
//! it, and which grammar and which folder of queries read it. What can be asked of a row is in
//! `lib.rs`.

use tree_sitter_language::LanguageFn;

use crate::query::Queries;

/// What is known of one language.
pub(crate) struct Row {
    /// In lower case, unique; also the folder of its queries.
    pub name: &'static str,
    /// As people write it.
    pub title: &'static str,
    /// LSP language ids and other usual names.
    pub aliases: &'static [&'static str],
    /// Without the dot, in lower case.
    pub extensions: &'static [&'static str],
    /// Whole file names.
    pub files: &'static [&'static str],
    /// Programs of a `#!` line, without folder and version.
    pub interpreters: &'static [&'static str],
    /// How a first line that is no `#!` line may start, in lower case.
    pub openings: &'static [&'static str],
    pub marks: Marks,
    /// CodeGeeX2's tag line.
    pub tag: Option<&'static str>,
    pub grammar: Option<LanguageFn>,
    pub queries: Option<&'static Queries>,
}

/// What starts and ends comments.
pub(crate) struct Marks {
    pub line: Option<&'static str>,
    pub block: Option<(&'static str, &'static str)>,
}

/// The queries of a folder under `queries/`, as part of the program.
macro_rules! queries {
    ($folder:literal, $grammar:expr) => {{
        static QUERIES: Queries = Queries::new(
            $grammar,
            $folder,
            [
                include_str!(concat!("../queries/", $folder, "/blocks.scm")),
                include_str!(concat!("../queries/", $folder, "/statements.scm")),
                include_str!(concat!("../queries/", $folder, "/symbols.scm")),
                include_str!(concat!("../queries/", $folder, "/imports.scm")),
            ],
        );
        Some(&QUERIES)
    }};
}

/// What a row leaves unsaid if the language has a grammar and a folder of queries.
macro_rules! read_by {
    ($folder:literal, $grammar:expr) => {
        Row {
            grammar: Some($grammar),
            queries: queries!($folder, $grammar),
            ..UNSAID
        }
    };
}

/// The queries of a folder: of a language, or of `ecma`, which JavaScript, TypeScript and TSX share
/// and which is no language itself.
pub(crate) fn folder(name: &str) -> Option<&'static Queries> {
    match name {
        "ecma" => queries!("ecma", tree_sitter_javascript::LANGUAGE),
        _ => ROWS.iter().find(|row| row.name == name)?.queries,
    }
}

const NO_MARKS: Marks = Marks {
    line: None,
    block: None,
};
const HASH: Marks = Marks {
    line: Some("#"),
    block: None,
};
const SLASH: Marks = Marks {
    line: Some("//"),
    block: Some(("/*", "*/")),
};
const DASH: Marks = Marks {
    line: Some("--"),
    block: Some(("/*", "*/")),
};
const ANGLE: Marks = Marks {
    line: None,
    block: Some(("<!--", "-->")),
};

/// A text of no known language, and what a row of the table leaves unsaid.
pub(crate) static PLAIN: Row = UNSAID;
const UNSAID: Row = Row {
    name: "plain",
    title: "Plain text",
    aliases: &[],
    extensions: &[],
    files: &[],
    interpreters: &[],
    openings: &[],
    marks: NO_MARKS,
    tag: None,
    grammar: None,
    queries: None,
};

/// The languages: those with queries, those with a grammar alone, those that are only named.
/// A `.h` file is C++ to VS Code and Vim, and so it is here: that grammar reads both languages.
/// Unformatted, so that a row reads as a row.
#[rustfmt::skip]
pub(crate) static ROWS: &[Row] = &[
    Row { name: "python", title: "Python", aliases: &["py"], extensions: &["py", "pyi", "pyw"],
          files: &["SConstruct", "SConscript"], interpreters: &["python", "pypy"], marks: HASH,
          tag: Some("# language: Python"), ..read_by!("python", tree_sitter_python::LANGUAGE) },
    Row { name: "cpp", title: "C++", aliases: &["c++", "cxx", "cuda-cpp"],
          extensions: &["cpp", "cc", "cxx", "c++", "h", "hpp", "hh", "hxx", "h++", "ipp", "tpp",
              "inl", "cppm", "ixx", "cu", "cuh"], marks: SLASH, tag: Some("// language: C++"),
          ..read_by!("cpp", tree_sitter_cpp::LANGUAGE) },
    Row { name: "java", title: "Java", extensions: &["java"], marks: SLASH,
          tag: Some("// language: Java"), ..read_by!("java", tree_sitter_java::LANGUAGE) },
    Row { name: "javascript", title: "JavaScript", aliases: &["js", "javascriptreact", "jsx"],
          extensions: &["js", "mjs", "cjs", "jsx"], files: &["Jakefile"],
          interpreters: &["node", "nodejs"], marks: SLASH, tag: Some("// language: JavaScript"),
          ..read_by!("javascript", tree_sitter_javascript::LANGUAGE) },
    Row { name: "go", title: "Go", aliases: &["golang"], extensions: &["go"], marks: SLASH,
          tag: Some("// language: Go"), ..read_by!("go", tree_sitter_go::LANGUAGE) },
    Row { name: "rust", title: "Rust", aliases: &["rs"], extensions: &["rs"],
          interpreters: &["rust-script"], marks: SLASH, tag: Some("// language: Rust"),
          ..read_by!("rust", tree_sitter_rust::LANGUAGE) },
    Row { name: "typescript", title: "TypeScript", aliases: &["ts"], extensions: &["ts", "mts", "cts"],
          interpreters: &["deno", "bun", "ts-node", "tsx"], marks: SLASH,
          tag: Some("// language: TypeScript"),
          ..read_by!("typescript", tree_sitter_typescript::LANGUAGE_TYPESCRIPT) },
    Row { name: "tsx", title: "TSX", aliases: &["typescriptreact"], extensions: &["tsx"], marks: SLASH,
          tag: Some("// language: TypeScript"), ..read_by!("tsx", tree_sitter_typescript::LANGUAGE_TSX) },
    Row { name: "c", title: "C", extensions: &["c"], marks: SLASH, tag: Some("// language: C"),
          ..read_by!("c", tree_sitter_c::LANGUAGE) },
    Row { name: "csharp", title: "C#", aliases: &["c#", "cs"], extensions: &["cs", "csx"], marks: SLASH,
          tag: Some("// language: C#"), ..read_by!("csharp", tree_sitter_c_sharp::LANGUAGE) },
    Row { name: "ruby", title: "Ruby", aliases: &["rb"], extensions: &["rb", "rake", "gemspec", "ru"],
          files: &["Gemfile", "Rakefile", "Vagrantfile", "Podfile", "Brewfile", "Fastfile"],
          interpreters: &["ruby", "jruby"],
          marks: Marks { line: Some("#"), block: Some(("=begin", "=end")) },
          tag: Some("# language: Ruby"), ..read_by!("ruby", tree_sitter_ruby::LANGUAGE) },
    Row { name: "php", title: "PHP", extensions: &["php", "phtml", "php3", "php4", "php5"],
          interpreters: &["php"], openings: &["<?php"], marks: SLASH, tag: Some("// language: PHP"),
          ..read_by!("php", tree_sitter_php::LANGUAGE_PHP) },
    Row { name: "bash", title: "Bash", aliases: &["shellscript", "shell", "sh", "zsh", "ksh"],
          extensions: &["sh", "bash", "zsh", "ksh", "bats", "ebuild"],
          files: &[".bashrc", ".bash_profile", ".bash_aliases", ".bash_logout", ".profile", ".zshrc",
              ".zshenv", ".zprofile", "PKGBUILD", "APKBUILD"],
          interpreters: &["sh", "bash", "dash", "zsh", "ksh", "ash"], marks: HASH,
          tag: Some("# language: Shell"), ..read_by!("bash", tree_sitter_bash::LANGUAGE) },
    Row { name: "lua", title: "Lua", extensions: &["lua", "rockspec"],
          interpreters: &["lua", "luajit", "texlua"],
          marks: Marks { line: Some("--"), block: Some(("--[[", "]]")) }, tag: Some("// language: Lua"),
          ..read_by!("lua", tree_sitter_lua::LANGUAGE) },
    Row { name: "kotlin", title: "Kotlin", aliases: &["kt"], extensions: &["kt", "kts"],
          interpreters: &["kotlin"], marks: SLASH, tag: Some("// language: Kotlin"),
          ..read_by!("kotlin", tree_sitter_kotlin_ng::LANGUAGE) },
    Row { name: "scala", title: "Scala", extensions: &["scala", "sc", "sbt"],
          interpreters: &["scala", "scala-cli"], marks: SLASH, tag: Some("// language: Scala"),
          ..read_by!("scala", tree_sitter_scala::LANGUAGE) },
    Row { name: "css", title: "CSS", extensions: &["css"],
          marks: Marks { line: None, block: Some(("/*", "*/")) }, tag: Some("/* language: CSS */"),
          ..read_by!("css", tree_sitter_css::LANGUAGE) },
    Row { name: "sql", title: "SQL", aliases: &["mysql", "postgres", "postgresql", "plsql", "sqlite"],
          extensions: &["sql", "ddl", "dml"], marks: DASH, tag: Some("-- language: SQL"),
          ..read_by!("sql", tree_sitter_sequel::LANGUAGE) },

    Row { name: "html", title: "HTML", extensions: &["html", "htm", "xhtml"],
          openings: &["<!doctype html", "<html"], marks: ANGLE, tag: Some("<!--language: HTML-->"),
          grammar: Some(tree_sitter_html::LANGUAGE), ..UNSAID },
    Row { name: "json", title: "JSON", aliases: &["jsonc", "geojson"],
          extensions: &["json", "jsonc", "geojson", "webmanifest", "ipynb"],
          files: &[".babelrc", ".eslintrc", ".prettierrc", "composer.lock", "Pipfile.lock"],
          tag: Some("// language: JSON"), grammar: Some(tree_sitter_json::LANGUAGE), ..UNSAID },
    Row { name: "yaml", title: "YAML",
          aliases: &["yml", "docker-compose", "dockercompose", "github-actions-workflow"],
          extensions: &["yaml", "yml"], files: &[".clang-format", ".clang-tidy"], openings: &["%yaml"],
          marks: HASH, tag: Some("# language: YAML"), grammar: Some(tree_sitter_yaml::LANGUAGE),
          ..UNSAID },
    Row { name: "toml", title: "TOML", extensions: &["toml"],
          files: &["Cargo.lock", "Pipfile", "poetry.lock", "uv.lock"], marks: HASH,
          tag: Some("# language: TOML"), grammar: Some(tree_sitter_toml_ng::LANGUAGE), ..UNSAID },

    Row { name: "markdown", title: "Markdown", aliases: &["md"], extensions: &["md", "markdown", "mdx"],
          marks: ANGLE, tag: Some("<!--language: Markdown-->"), ..UNSAID },
    Row { name: "dockerfile", title: "Dockerfile", aliases: &["docker", "containerfile"],
          extensions: &["dockerfile"], files: &["Dockerfile", "Containerfile"], marks: HASH,
          tag: Some("# language: Dockerfile"), ..UNSAID },
    Row { name: "makefile", title: "Makefile", aliases: &["make"], extensions: &["mk", "mak"],
          files: &["Makefile", "makefile", "GNUmakefile"], interpreters: &["make"], marks: HASH,
          tag: Some("# language: Makefile"), ..UNSAID },
    Row { name: "cmake", title: "CMake", extensions: &["cmake"], files: &["CMakeLists.txt"], marks: HASH,
          tag: Some("# language: CMake"), ..UNSAID },
    Row { name: "perl", title: "Perl", extensions: &["pl", "pm"], interpreters: &["perl"], marks: HASH,
          tag: Some("# language: Perl"), ..UNSAID },
    Row { name: "r", title: "R", extensions: &["r"], files: &[".Rprofile"], interpreters: &["Rscript"],
          marks: HASH, tag: Some("# language: R"), ..UNSAID },
    Row { name: "julia", title: "Julia", extensions: &["jl"], interpreters: &["julia"],
          marks: Marks { line: Some("#"), block: Some(("#=", "=#")) }, tag: Some("# language: Julia"),
          ..UNSAID },
    Row { name: "elixir", title: "Elixir", extensions: &["ex", "exs"], interpreters: &["elixir"],
          marks: HASH, tag: Some("# language: Elixir"), ..UNSAID },
    Row { name: "powershell", title: "PowerShell", extensions: &["ps1", "psm1", "psd1"],
          interpreters: &["pwsh"], marks: Marks { line: Some("#"), block: Some(("<#", "#>")) },
          tag: Some("# language: PowerShell"), ..UNSAID },
    Row { name: "swift", title: "Swift", extensions: &["swift"], interpreters: &["swift"], marks: SLASH,
          tag: Some("// language: swift"), ..UNSAID },
    Row { name: "objective-c", title: "Objective-C", aliases: &["objc"], extensions: &["m"], marks: SLASH,
          tag: Some("// language: Objective-C"), ..UNSAID },
    Row { name: "objective-cpp", title: "Objective-C++", aliases: &["objcpp"], extensions: &["mm"],
          marks: SLASH, tag: Some("// language: Objective-C++"), ..UNSAID },
    Row { name: "dart", title: "Dart", extensions: &["dart"], interpreters: &["dart"], marks: SLASH,
          tag: Some("// language: Dart"), ..UNSAID },
    Row { name: "zig", title: "Zig", extensions: &["zig"], marks: Marks { line: Some("//"), block: None },
          tag: Some("// language: Zig"), ..UNSAID },
    Row { name: "groovy", title: "Groovy", extensions: &["groovy", "gradle"], files: &["Jenkinsfile"],
          interpreters: &["groovy"], marks: SLASH, tag: Some("// language: Groovy"), ..UNSAID },
    Row { name: "fsharp", title: "F#", aliases: &["f#"], extensions: &["fs", "fsi", "fsx"],
          marks: Marks { line: Some("//"), block: Some(("(*", "*)")) }, tag: Some("// language: F#"),
          ..UNSAID },
    Row { name: "solidity", title: "Solidity", extensions: &["sol"], marks: SLASH,
          tag: Some("// language: Solidity"), ..UNSAID },
    Row { name: "proto", title: "Protocol Buffer", aliases: &["protobuf", "proto3"],
          extensions: &["proto"], marks: SLASH, tag: Some("// language: Protocol Buffer"), ..UNSAID },
    Row { name: "haskell", title: "Haskell", extensions: &["hs"], interpreters: &["runhaskell"],
          marks: Marks { line: Some("--"), block: Some(("{-", "-}")) }, tag: Some("-- language: Haskell"),
          ..UNSAID },
    Row { name: "elm", title: "Elm", extensions: &["elm"],
          marks: Marks { line: Some("--"), block: Some(("{-", "-}")) }, tag: Some("-- language: Elm"),
          ..UNSAID },
    Row { name: "clojure", title: "Clojure", extensions: &["clj", "cljs", "cljc", "edn"],
          marks: Marks { line: Some(";"), block: None }, tag: Some("; language: Clojure"), ..UNSAID },
    Row { name: "erlang", title: "Erlang", extensions: &["erl", "hrl"], interpreters: &["escript"],
          marks: Marks { line: Some("%"), block: None }, tag: Some("% language: Erlang"), ..UNSAID },
    Row { name: "latex", title: "LaTeX", aliases: &["tex"], extensions: &["tex", "sty", "cls"],
          marks: Marks { line: Some("%"), block: None }, tag: Some("% language: TeX"), ..UNSAID },
    Row { name: "vue", title: "Vue", extensions: &["vue"], marks: ANGLE,
          tag: Some("<!--language: Vue-->"), ..UNSAID },
];

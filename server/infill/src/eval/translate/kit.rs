//! What is there to run programs of a language: its tools, and what some problems need besides.
//!
//! Libraries that a tool can get are got once, outside of the sandbox, into the user's folder of caches. What is missing
//! is told; a problem that needs it is not run.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};
use serde_json::Value;

use crate::eval::translate::languages::{From, Need, Row};
use crate::eval::translate::problems::Problem;

/// How programs of a language are run here.
#[derive(Debug, Default)]
pub struct Kit {
    /// What commands get besides.
    pub arguments: Vec<String>,
    /// What is set for them.
    pub variables: Vec<(String, String)>,
    /// Files that are put beside each program.
    pub files: Vec<PathBuf>,
    /// What is not there, and why.
    missing: Vec<(&'static Need, String)>,
}

/// The first of a language's tools that is not there.
pub fn missing_tool(row: &Row) -> Option<&'static str> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let is_there = |tool: &str| {
        let name = format!("{tool}{}", std::env::consts::EXE_SUFFIX);
        folders.iter().any(|folder| folder.join(&name).is_file())
    };
    row.tools().find(|tool| !is_there(tool))
}

impl Kit {
    /// Gets what these problems need, as far as it can be got.
    ///
    /// # Errors
    /// If there is no folder for it.
    pub fn get(row: &'static Row, problems: &BTreeMap<u32, Problem>) -> anyhow::Result<Kit> {
        let mut kit = Kit::default();
        if row.tools().any(|tool| tool == "go") {
            // Else each program would build what it imports.
            let built = folder("go")?.join("built").to_string_lossy().into_owned();
            kit.set("GOCACHE", built);
            kit.set("GOPROXY", "off".to_owned());
            kit.set("GOFLAGS", "-mod=mod".to_owned());
        }
        for need in row.needs {
            let mut problems = problems.values();
            if !problems.any(|problem| problem.mentions(need.marks)) {
                continue;
            }
            let got = match need.from {
                From::Header(header, package, arguments) => kit.header(header, package, arguments),
                From::Cargo(crates) => kit.crates(crates),
                From::Npm(package) => kit.npm(package),
                From::Go(module, package) => kit.module(module, package),
            };
            if let Err(why) = got {
                kit.missing.push((need, format!("{why:#}")));
            }
        }
        Ok(kit)
    }

    /// Why a problem cannot be run, if it cannot.
    pub fn lacks(&self, problem: &Problem) -> Option<String> {
        let mut missing = self.missing.iter();
        let (need, why) = missing.find(|(need, _)| problem.mentions(need.marks))?;
        Some(format!("it needs {}: {why}", need.name))
    }

    fn set(&mut self, name: &str, value: String) {
        self.variables.push((name.to_owned(), value));
    }

    fn header(&mut self, header: &str, package: &str, arguments: &[&str]) -> anyhow::Result<()> {
        let mut compiler = Command::new("g++")
            .args(["-fsyntax-only", "-x", "c++", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot start g++")?;
        if let Some(mut input) = compiler.stdin.take() {
            writeln!(input, "#include <{header}>").context("cannot ask g++")?;
        }
        if !compiler.wait().context("cannot ask g++")?.success() {
            bail!("there is no header {header}; Debian's package {package} has it");
        }
        let arguments = arguments.iter().copied();
        self.arguments.extend(arguments.map(str::to_owned));
        Ok(())
    }

    fn crates(&mut self, crates: &str) -> anyhow::Result<()> {
        let folder = folder("rust")?;
        let manifest = format!(
            "[package]\nname = \"kit\"\nversion = \"0.1.0\"\nedition = \"2021\"\n\n[lib]\npath = \"lib.rs\"\n\n\
             [dependencies]\n{crates}\n[workspace]\n"
        );
        lay(&folder.join("Cargo.toml"), &manifest)?;
        lay(&folder.join("lib.rs"), "")?;
        let mut build = Command::new("cargo");
        build
            .args([
                "build",
                "--release",
                "--message-format=json",
                "--target-dir",
            ])
            .arg(folder.join("target"))
            .current_dir(&folder);
        let said = ran(build)?;
        let names = crates
            .lines()
            .filter_map(|line| line.split_whitespace().next());
        for name in names {
            let file = said.lines().rev().find_map(|line| library(line, name));
            let file = file.with_context(|| format!("Cargo does not say where {name} is"))?;
            self.arguments.push("--extern".to_owned());
            self.arguments.push(format!("{name}={file}"));
            if let Some(beside) = Path::new(&file).parent() {
                let beside = format!("-Ldependency={}", beside.display());
                if !self.arguments.contains(&beside) {
                    self.arguments.push(beside);
                }
            }
        }
        Ok(())
    }

    fn npm(&mut self, package: &str) -> anyhow::Result<()> {
        let folder = folder("js")?;
        let name = package.split('@').next().unwrap_or(package);
        let modules = folder.join("node_modules");
        if !modules.join(name).join("package.json").is_file() {
            let mut install = Command::new("npm");
            install
                .args([
                    "install",
                    "--no-save",
                    "--ignore-scripts",
                    "--no-audit",
                    "--no-fund",
                ])
                .arg("--prefix")
                .arg(&folder)
                .arg(package);
            ran(install)?;
        }
        self.set("NODE_PATH", modules.to_string_lossy().into_owned());
        Ok(())
    }

    fn module(&mut self, module: &str, package: &str) -> anyhow::Result<()> {
        let folder = folder("go")?;
        let (name, version) = module.split_once('@').unwrap_or((module, "latest"));
        lay(
            &folder.join("kit_test.go"),
            &format!(
                "package main\n\nimport (\n\t\"testing\"\n\n\t\"{package}\"\n)\n\nfunc TestKit(t *testing.T) {{ assert.True(t, true) }}\n"
            ),
        )?;
        let manifest = folder.join("go.mod");
        let sums = folder.join("go.sum");
        if !manifest.is_file() || !sums.is_file() {
            lay(
                &manifest,
                &format!("module humaneval\n\ngo 1.18\n\nrequire {name} {version}\n"),
            )?;
            let mut tidy = Command::new("go");
            tidy.args(["mod", "tidy"]).current_dir(&folder);
            ran(tidy)?;
        }
        let mut build = Command::new("go");
        build
            .args(["test", "kit_test.go"])
            .env("GOCACHE", folder.join("built"))
            .current_dir(&folder);
        ran(build)?;
        self.files = vec![manifest, sums];
        Ok(())
    }
}

/// Where a crate's library was put, if this line of Cargo's is about it.
fn library(line: &str, name: &str) -> Option<String> {
    let message: Value = serde_json::from_str(line).ok()?;
    if message["reason"] != "compiler-artifact" || message["target"]["name"] != name {
        return None;
    }
    let mut files = message["filenames"].as_array()?.iter();
    let file = files.find_map(|file| file.as_str().filter(|file| file.ends_with(".rlib")))?;
    Some(file.to_owned())
}

/// A folder of its own for what a language's problems need.
fn folder(language: &str) -> anyhow::Result<PathBuf> {
    let caches = dirs::cache_dir().context("there is no folder for caches; set HOME")?;
    let folder = caches.join("infill/eval").join(language);
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    Ok(folder)
}

/// Writes a file, unless it is there: its time says to tools whether it has changed.
fn lay(path: &Path, text: &str) -> anyhow::Result<()> {
    if fs::read_to_string(path).is_ok_and(|found| found == text) {
        return Ok(());
    }
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// Runs a tool that gets something; gives what it said on standard output.
fn ran(mut command: Command) -> anyhow::Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start {name}"))?;
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        let mut lines = errors.lines().map(str::trim);
        let first = lines.find(|line| !line.is_empty()).unwrap_or_default();
        bail!("{name} could not get it: {first}");
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

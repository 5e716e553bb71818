; What JavaScript, TypeScript and TSX have in common: `import …` and `export … from "…"`.
(import_statement) @import

(export_statement source: (string)) @import

; inherits: ecma

; `import Name = Other.Space`.
(import_alias) @import

; A rule goes by its selectors.
(rule_set (selectors) @name) @symbol

(keyframes_statement (keyframes_name) @name) @symbol

; A custom property: `--accent: teal`.
(declaration
  (property_name) @name
  (#match? @name "^--")) @symbol

[
  (class name: (_) @name)
  (method name: (_) @name)
  (module name: (_) @name)
  (singleton_method name: (_) @name)
] @symbol

(alias name: (_) @name) @symbol

(assignment left: (constant) @name) @symbol

; `attr_reader :name` defines methods.
(call
  method: (identifier) @_attr
  arguments: (argument_list (simple_symbol) @name)
  (#any-of? @_attr "attr_accessor" "attr_reader" "attr_writer" "define_method")) @symbol

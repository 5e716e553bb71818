[
  (create_function (object_reference) @name)
  (create_materialized_view (object_reference) @name)
  (create_table (object_reference) @name)
  (create_type (object_reference) @name)
  (create_view (object_reference) @name)
] @symbol

(create_index column: (identifier) @name) @symbol

(cte . (identifier) @name) @symbol

(column_definition name: (identifier) @name) @symbol

-- :Infill why: the prompt, the decision and the times of the last suggestion, in a split.

local scratch = require('infill.scratch')

local M = {}

local function block(lines, title, text)
  vim.list_extend(lines, { '', '## ' .. title, '', '````' })
  vim.list_extend(lines, vim.split(text, '\n', { plain = true }))
  table.insert(lines, '````')
end

--- The answer of `infill/why` as Markdown.
---@param why table
---@return string[]
function M.lines(why)
  local place = why.position or { line = 0, character = 0 }
  local lines = {
    '# Why this suggestion',
    '',
    ('- file: %s, line %d, column %d'):format(vim.uri_to_fname(why.uri), place.line + 1, place.character + 1),
    ('- asked: %s'):format(why.trigger or '?'),
    ('- decision: %s'):format(why.decision or '?'),
  }
  local record = why.record or {}
  local names = vim.tbl_keys(record)
  table.sort(names)
  for _, name in ipairs(names) do
    local value = record[name]
    table.insert(lines, ('- %s: %s'):format(name, type(value) == 'table' and vim.json.encode(value) or tostring(value)))
  end
  for _, part in ipairs({ { 'shown', 'Shown' }, { 'answer', 'What the model wrote' }, { 'prompt', 'Prompt' } }) do
    local text = why[part[1]]
    if text and text ~= '' then
      block(lines, part[2], text)
    end
  end
  return lines
end

---@param why table
function M.show(why)
  scratch.open('why', M.lines(why), 'markdown')
end

return M

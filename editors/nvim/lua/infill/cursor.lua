-- The text at the cursor of the current window, as suggestions need it.

local menu = require('infill.menu')
local suggestion = require('infill.suggestion')

local M = {}

---@return string line, integer row, integer column From 0, in bytes.
function M.at()
  local row, column = unpack(vim.api.nvim_win_get_cursor(0))
  return vim.api.nvim_get_current_line(), row - 1, column
end

--- The menu's entry that is selected, if it is not in the text yet.
---@return { text: string, start: integer }?
function M.selected_entry()
  local line, _, column = M.at()
  return menu.selected(line, column)
end

--- The text, the cursor and the menu's entry; equal if none has changed.
---@return string
function M.place()
  local _, row, column = M.at()
  local entry = M.selected_entry()
  return ('%d:%d:%d:%s'):format(vim.api.nvim_buf_get_changedtick(0), row, column, entry and entry.text or '')
end

--- What is left of a suggestion here.
---@param each infill.Suggestion
---@return infill.Rest?
function M.rest_of(each)
  local _, row, column = M.at()
  if row < each.row then
    return nil
  end
  return suggestion.rest(each, vim.api.nvim_buf_get_lines(0, each.row, row + 1, true), column)
end

return M

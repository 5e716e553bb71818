-- A suggestion against the text as it is by now: what of it is left, and its next word or line.
--
-- Takes an item of `textDocument/inlineCompletion` when it comes, and lines and cursor whenever they
-- changed. Typing what the item says leaves less of it; anything else leaves nothing.

local columns = require('infill.columns')

local M = {}

---@class infill.Suggestion
---@field item table The item, as the server gave it.
---@field row integer
---@field start integer Where its text begins, in bytes; what was typed already is part of the text.
---@field text string
---@field between string What stood between the cursor and the end of what it replaces.
---@field behind string What stood behind that.

---@class infill.Rest What is left of a suggestion.
---@field row integer
---@field column integer The cursor, in bytes.
---@field typed integer How much of the suggestion stands before the cursor, in bytes.
---@field text string What goes in at the cursor.
---@field kept string What is there behind the cursor already and ends the suggestion.
---@field replaced string What is behind the cursor and goes.

---@param item table
---@param line string The cursor's line.
---@param row integer
---@param column integer The cursor, in bytes.
---@param encoding string
---@return infill.Suggestion?
function M.new(item, line, row, column, encoding)
  local text = item.insertText
  if type(text) ~= 'string' then
    return nil
  end
  local start, stop = column, column
  if item.range then
    if item.range.start.line ~= row or item.range['end'].line ~= row then
      return nil
    end
    start = columns.to_bytes(line, item.range.start.character, encoding)
    stop = columns.to_bytes(line, item.range['end'].character, encoding)
  end
  if start > column or stop < column then
    return nil
  end
  return {
    item = item,
    row = row,
    start = start,
    text = (text:gsub('\r\n', '\n')),
    between = line:sub(column + 1, stop),
    behind = line:sub(stop + 1),
  }
end

--- Is this what stands between the cursor and the end of what the suggestion replaces, if keys that
--- agree with it were typed? Then it is what stood there, or the end of that if closing brackets
--- were typed over, or automatic closing has put brackets in front that the suggestion has, too.
local function is_untouched(suggestion, between, rest)
  local stood = suggestion.between
  if vim.endswith(stood, between) then
    return true
  end
  local added = vim.endswith(between, stood) and between:sub(1, #between - #stood)
  return added and added:match('^[%)%]}>"\'`]+$') ~= nil and vim.endswith(rest, between)
end

---@param suggestion infill.Suggestion
---@param lines string[] From the suggestion's row to the cursor's.
---@param column integer The cursor, in bytes.
---@return infill.Rest? rest nil if what was typed is not what it says, or all of it.
function M.rest(suggestion, lines, column)
  if #lines == 0 or (#lines == 1 and column < suggestion.start) then
    return nil
  end
  local after = lines[#lines]:sub(column + 1)
  lines[#lines] = lines[#lines]:sub(1, column)
  local typed = table.concat(lines, '\n'):sub(suggestion.start + 1)
  if not vim.startswith(suggestion.text, typed) or not vim.endswith(after, suggestion.behind) then
    return nil
  end
  local rest = suggestion.text:sub(#typed + 1)
  local between = after:sub(1, #after - #suggestion.behind)
  if not is_untouched(suggestion, between, rest) then
    return nil
  end
  local kept = vim.endswith(rest, between) and between or ''
  local text = rest:sub(1, #rest - #kept)
  if text == '' then
    return nil
  end
  return {
    row = suggestion.row + #lines - 1,
    column = column,
    typed = #typed,
    text = text,
    kept = kept,
    replaced = kept == '' and between or '',
  }
end

--- The first word of a text, with the blanks before it: letters, digits and underscores, or else a
--- run of other characters.
---@param text string
---@return string
function M.word(text)
  local blanks = text:match('^%s*')
  local left = text:sub(#blanks + 1)
  -- Bytes over 127 are parts of letters of other alphabets.
  local word = left:match('^[%w_\128-\255]+') or left:match('^[^%w%s_\128-\255]+') or ''
  return blanks .. word
end

--- The first line of a text; if it begins with a line's end, that and the line behind it.
---@param text string
---@return string
function M.line(text)
  return text:match('^\n*[^\n]*')
end

return M

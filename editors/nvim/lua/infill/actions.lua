-- What keys do with ghost text. Each gives false if there was nothing to do it to.

local ask = require('infill.ask')
local client_of = require('infill.client')
local cursor = require('infill.cursor')
local ghost = require('infill.ghost')
local suggestion = require('infill.suggestion')

local M = {}

--- Is there ghost text at the cursor?
---@return boolean
function M.is_visible()
  local state = ghost.here()
  return state ~= nil and state.shown ~= nil
end

--- Puts text in at the cursor, as one step of undo, and as what `.` repeats.
local function insert(text, rest)
  -- Setting 'undolevels' ends a step, even to what it is.
  vim.bo.undolevels = vim.bo.undolevels
  if rest.replaced ~= '' then
    local row, column = rest.row, rest.column
    vim.api.nvim_buf_set_text(0, row, column, row, column + #rest.replaced, {})
  end
  vim.api.nvim_paste(text, false, -1)
  vim.bo.undolevels = vim.bo.undolevels
end

local function take_piece(state, chosen, text)
  local rest = state.shown
  if rest.replaced ~= '' then
    -- The first piece is put in its place, the others come behind that.
    chosen.between = ''
  end
  insert(text, rest)
  client_of.notify(state.client, 'textDocument/didPartiallyAcceptCompletion', {
    item = chosen.item,
    acceptedLength = vim.fn.strutf16len(chosen.text:sub(1, rest.typed + #text), 1),
  })
end

local function take_whole(state, buffer, chosen)
  local rest = state.shown
  ask.cancel(state)
  ghost.clear(state, buffer)
  insert(rest.text, rest)
  if rest.kept ~= '' then
    local row, column = unpack(vim.api.nvim_win_get_cursor(0))
    vim.api.nvim_win_set_cursor(0, { row, column + #rest.kept })
  end
  local command = chosen.item.command
  if command then
    client_of.execute(state.client, { command = command.command, arguments = command.arguments }, buffer)
  end
end

--- Accepts what `piece` takes of the ghost text.
---@param piece fun(text: string): string
---@return boolean
local function take(piece)
  local state, buffer = ghost.here()
  if not state or not state.shown then
    return false
  end
  local chosen = ghost.chosen(state, buffer)
  if not chosen or not ghost.draw(state, buffer) then
    return false
  end
  local text = piece(state.shown.text)
  if #text < #state.shown.text then
    take_piece(state, chosen, text)
  else
    take_whole(state, buffer, chosen)
  end
  return true
end

---@return boolean
function M.accept()
  return take(function(text)
    return text
  end)
end

---@return boolean
function M.accept_word()
  return take(suggestion.word)
end

---@return boolean
function M.accept_line()
  return take(suggestion.line)
end

---@return boolean
function M.dismiss()
  local state, buffer = ghost.here()
  if not state or not state.shown then
    return false
  end
  ghost.leave(buffer)
  state.place = cursor.place()
  return true
end

--- Asks for all candidates; the one on the screen stays the first.
local function ask_for_all(state, answered)
  local chosen = state.suggestions[state.index]
  ask.ask(state, ask.INVOKED, function(suggestions)
    local all = chosen and cursor.rest_of(chosen) and { chosen } or {}
    for _, each in ipairs(suggestions) do
      if not chosen or each.text ~= chosen.text then
        table.insert(all, each)
      end
    end
    answered(all)
  end)
end

local function cycle(step)
  local state, buffer = ghost.here()
  if not state or not state.shown then
    return false
  end
  ghost.chosen(state, buffer)
  local function go()
    state.index = (state.index - 1 + step) % #state.suggestions + 1
    state.numbered = true
    ghost.draw(state, buffer)
  end
  if #state.suggestions > 1 then
    go()
  else
    ask_for_all(state, function(all)
      if #all > 1 and ghost.is_allowed(buffer) then
        state.suggestions, state.index = all, 1
        go()
      end
    end)
  end
  return true
end

---@return boolean
function M.next()
  return cycle(1)
end

---@return boolean
function M.previous()
  return cycle(-1)
end

--- Asks by hand, whatever the settings say about asking by itself.
---@return boolean
function M.trigger()
  local state, buffer = ghost.here()
  if not state or not ghost.is_allowed(buffer) then
    return false
  end
  state.place = cursor.place()
  ask_for_all(state, function(all)
    ghost.show(state, buffer, all)
  end)
  return true
end

return M

-- Ghost text: what is asked when, what of the answer still fits, and what the keys do with it.
--
-- One state for each buffer with a server. Drawing is left to paint/. Nothing here waits: an answer
-- that comes late, or for a text of before, is dropped.

local client_of = require('infill.client')
local columns = require('infill.columns')
local config = require('infill.config')
local menu = require('infill.menu')
local suggestion = require('infill.suggestion')

local M = {}

local METHOD = 'textDocument/inlineCompletion'
local INVOKED, AUTOMATIC = 1, 2

---@class infill.State
---@field client vim.lsp.Client
---@field suggestions infill.Suggestion[]
---@field index integer Which of them is shown.
---@field numbered boolean Whether it says which of how many it is.
---@field shown infill.Rest? What is on the screen.
---@field asked integer? The request that is under way.
---@field place string? Text and cursor that were seen last.

---@type table<integer, infill.State>
local states = {}

local builtin = require('infill.paint.builtin')
local paint = builtin.is_there() and builtin or require('infill.paint.extmark')

---@return string line, integer row, integer column
local function at_cursor()
  local row, column = unpack(vim.api.nvim_win_get_cursor(0))
  return vim.api.nvim_get_current_line(), row - 1, column
end

--- The menu's entry that is selected, if it is not in the text yet.
local function selected_entry()
  local line, _, column = at_cursor()
  return menu.selected(line, column)
end

--- The text, the cursor and the menu's entry; equal if none has changed.
local function place(buffer)
  local _, row, column = at_cursor()
  local entry = selected_entry()
  return ('%d:%d:%d:%s'):format(vim.api.nvim_buf_get_changedtick(buffer), row, column, entry and entry.text or '')
end

--- What is left of a suggestion at the cursor.
---@return infill.Rest?
local function rest_of(each, buffer)
  local _, row, column = at_cursor()
  if row < each.row then
    return nil
  end
  return suggestion.rest(each, vim.api.nvim_buf_get_lines(buffer, each.row, row + 1, true), column)
end

--- The state of the buffer that is typed in, if there is one.
---@return infill.State?, integer buffer
local function here()
  local buffer = vim.api.nvim_get_current_buf()
  return states[buffer], buffer
end

--- May a suggestion be on the screen here and now?
local function is_allowed(buffer)
  -- A macro must do the same each time, so its keys never meet a suggestion.
  return vim.api.nvim_get_mode().mode:sub(1, 1) == 'i'
    and vim.bo[buffer].modifiable
    and vim.b[buffer].infill_enabled ~= false
    and config.is_on(vim.bo[buffer].filetype)
    and vim.fn.reg_recording() == ''
    and vim.fn.reg_executing() == ''
    and (config.options.menu == 'coexist' or not menu.is_open())
end

local function cancel(state)
  if state.asked then
    client_of.cancel(state.client, state.asked)
    state.asked = nil
  end
end

local function clear(state, buffer)
  if state.shown then
    paint.hide(buffer, state.client.id)
  end
  state.suggestions, state.index, state.numbered, state.shown = {}, 1, false, nil
end

--- What is drawn may have been chosen with Neovim's own functions.
local function current(state, buffer)
  state.index = paint.chosen(buffer) or state.index
  return state.suggestions[state.index]
end

local function tell_shown(state, now)
  if not now.is_told then
    now.is_told = true
    client_of.notify(state.client, 'textDocument/didShowCompletion', { item = now.item })
  end
end

--- Draws what is left of the suggestion by now. Gives false if nothing is.
local function draw(state, buffer)
  local chosen = state.suggestions[state.index]
  local all, left = {}, {}
  for _, each in ipairs(state.suggestions) do
    local rest = rest_of(each, buffer)
    if rest then
      table.insert(left, each)
      table.insert(all, { rest = rest, command = each.item.command })
      if each == chosen then
        state.shown, state.index = rest, #all
      end
    end
  end
  if not vim.tbl_contains(left, chosen) then
    clear(state, buffer)
    return false
  end
  state.suggestions = left
  state.numbered = state.numbered and #left > 1
  paint.show(buffer, state.client.id, all, state.index, state.numbered)
  tell_shown(state, chosen)
  return true
end

--- What of an answer can be shown at the cursor.
---@return infill.Suggestion[]
local function read(state, buffer, result)
  local line, row, column = at_cursor()
  local found, seen = {}, {}
  for _, item in ipairs(result and (result.items or result) or {}) do
    local each = suggestion.new(item, line, row, column, state.client.offset_encoding)
    if each and not seen[each.text] and rest_of(each, buffer) then
      seen[each.text] = true
      table.insert(found, each)
    end
  end
  return found
end

--- The selected entry as the protocol has it.
local function selected_info(row, line, column, encoding)
  local entry = selected_entry()
  return entry
    and {
      text = entry.text,
      range = {
        start = { line = row, character = columns.from_bytes(line, entry.start, encoding) },
        ['end'] = { line = row, character = columns.from_bytes(line, column, encoding) },
      },
    }
end

--- Asks the server; `answered` gets the suggestions if nothing was typed or asked meanwhile.
local function ask(state, buffer, kind, answered)
  cancel(state)
  local asked_at = place(buffer)
  local line, row, column = at_cursor()
  local encoding = state.client.offset_encoding
  local id
  id = client_of.request(
    state.client,
    METHOD,
    {
      textDocument = { uri = vim.uri_from_bufnr(buffer), version = vim.lsp.util.buf_versions[buffer] },
      position = { line = row, character = columns.from_bytes(line, column, encoding) },
      context = { triggerKind = kind, selectedCompletionInfo = selected_info(row, line, column, encoding) },
      formattingOptions = {
        tabSize = vim.lsp.util.get_effective_tabstop(buffer),
        insertSpaces = vim.bo[buffer].expandtab,
      },
    },
    buffer,
    function(fault, result)
      if states[buffer] ~= state or state.asked ~= id then
        return
      end
      state.asked = nil
      local is_here = vim.api.nvim_get_current_buf() == buffer
      if not fault and is_here and is_allowed(buffer) and place(buffer) == asked_at then
        answered(read(state, buffer, result))
      end
    end
  )
  state.asked = id
end

local function show(state, buffer, suggestions)
  clear(state, buffer)
  state.suggestions = suggestions
  if #suggestions > 0 then
    draw(state, buffer)
  end
end

--- After a key, a motion, or a menu's opening: what still fits stays, else the server is asked.
local function changed()
  local state, buffer = here()
  if not state then
    return
  end
  paint.settle(buffer)
  if not is_allowed(buffer) then
    M.leave(buffer)
    return
  end
  local now = place(buffer)
  if state.place == now then
    return
  end
  state.place = now
  -- A selected entry counts as typed, so what fits the text may not fit it.
  if not selected_entry() and current(state, buffer) and draw(state, buffer) then
    return
  end
  cancel(state)
  if config.options.settings.automatic ~= false then
    ask(state, buffer, AUTOMATIC, function(suggestions)
      show(state, buffer, suggestions)
    end)
  end
end

--- No ghost text and no question any more, until something is typed.
---@param buffer integer
function M.leave(buffer)
  local state = states[buffer]
  if state then
    cancel(state)
    clear(state, buffer)
    state.place = nil
  end
end

--- Is there ghost text at the cursor?
---@return boolean
function M.is_visible()
  local state = here()
  return state ~= nil and state.shown ~= nil
end

--- Puts text in at the cursor, as one step of undo, and as what `.` repeats.
local function insert(text, rest)
  -- Setting 'undolevels' ends the step before and the one after, even to what it is.
  vim.bo.undolevels = vim.bo.undolevels
  if rest.replaced ~= '' then
    local row, column = rest.row, rest.column
    vim.api.nvim_buf_set_text(0, row, column, row, column + #rest.replaced, {})
  end
  vim.api.nvim_paste(text, false, -1)
  vim.bo.undolevels = vim.bo.undolevels
end

--- Accepts what `piece` takes of the ghost text. Gives false if there is none.
---@param piece fun(text: string): string
local function take(piece)
  local state, buffer = here()
  if not state or not state.shown then
    return false
  end
  local chosen = current(state, buffer)
  if not chosen or not draw(state, buffer) then
    return false
  end
  local rest = state.shown --[[@as infill.Rest]]
  local text = piece(rest.text)
  if #text < #rest.text then
    if rest.replaced ~= '' then
      -- What goes is replaced by the first piece and the others come behind that.
      chosen.between = ''
    end
    insert(text, rest)
    local length = vim.fn.strutf16len(chosen.text:sub(1, rest.typed + #text), 1)
    client_of.notify(state.client, 'textDocument/didPartiallyAcceptCompletion', {
      item = chosen.item,
      acceptedLength = length,
    })
    return true
  end
  cancel(state)
  clear(state, buffer)
  insert(text, rest)
  if rest.kept ~= '' then
    local row, column = unpack(vim.api.nvim_win_get_cursor(0))
    vim.api.nvim_win_set_cursor(0, { row, column + #rest.kept })
  end
  local command = chosen.item.command
  if command then
    client_of.execute(state.client, { command = command.command, arguments = command.arguments }, buffer)
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
  local state, buffer = here()
  if not state or not state.shown then
    return false
  end
  M.leave(buffer)
  state.place = place(buffer)
  return true
end

--- Asks for all candidates; the one on the screen stays the first.
local function ask_for_all(state, buffer, answered)
  local chosen = state.suggestions[state.index]
  ask(state, buffer, INVOKED, function(suggestions)
    local all = {}
    if chosen and rest_of(chosen, buffer) then
      table.insert(all, chosen)
    end
    for _, each in ipairs(suggestions) do
      if not chosen or each.text ~= chosen.text then
        table.insert(all, each)
      end
    end
    answered(all)
  end)
end

local function cycle(step)
  local state, buffer = here()
  if not state or not state.shown then
    return false
  end
  current(state, buffer)
  local function go()
    state.index = (state.index - 1 + step) % #state.suggestions + 1
    state.numbered = true
    draw(state, buffer)
  end
  if #state.suggestions > 1 then
    go()
  else
    ask_for_all(state, buffer, function(all)
      if #all > 1 then
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
  local state, buffer = here()
  if not state or not is_allowed(buffer) then
    return false
  end
  state.place = place(buffer)
  ask_for_all(state, buffer, function(all)
    show(state, buffer, all)
  end)
  return true
end

local group ---@type integer

--- Listens to the keyboard in this buffer: after Neovim's own inline completion, which `paint` has
--- attached, so that its doing can be corrected.
local function listen(buffer)
  vim.api.nvim_clear_autocmds({ group = group, buffer = buffer })
  vim.api.nvim_create_autocmd({ 'CursorMovedI', 'TextChangedI', 'TextChangedP' }, {
    group = group,
    buffer = buffer,
    callback = function()
      changed()
    end,
  })
  -- The cursor has its place only after this event.
  vim.api.nvim_create_autocmd('InsertEnter', {
    group = group,
    buffer = buffer,
    callback = vim.schedule_wrap(changed),
  })
  vim.api.nvim_create_autocmd({ 'InsertLeave', 'BufLeave' }, {
    group = group,
    buffer = buffer,
    callback = function()
      M.leave(buffer)
    end,
  })
end

---@param buffer integer
---@param client vim.lsp.Client
function M.attach(buffer, client)
  states[buffer] = { client = client, suggestions = {}, index = 1, numbered = false }
  paint.attach(buffer, client.id)
  listen(buffer)
  changed()
end

---@param buffer integer
---@param client_id integer
function M.detach(buffer, client_id)
  local state = states[buffer]
  if state and state.client.id == client_id then
    states[buffer] = nil
    vim.api.nvim_clear_autocmds({ group = group, buffer = buffer })
    paint.detach(buffer, client_id)
  end
end

--- Looks again, when a setting has changed.
function M.refresh()
  for buffer in pairs(states) do
    M.leave(buffer)
  end
  changed()
end

--- Makes ready to attach buffers; once.
function M.start()
  vim.api.nvim_set_hl(0, 'InfillGhost', { link = 'Comment', default = true })
  vim.api.nvim_set_hl(0, 'InfillCount', { link = 'NonText', default = true })
  group = vim.api.nvim_create_augroup('infill.ghost', {})
  menu.watch(
    group,
    vim.schedule_wrap(function()
      local state = here()
      if state and state.shown == nil then
        state.place = nil
      end
      changed()
    end)
  )
end

return M

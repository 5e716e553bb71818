-- Ghost text: when the server is asked, what of its answer still fits, and where it is drawn.
--
-- One state for each buffer with a server. Asking is left to ask.lua, drawing to paint/, what keys do
-- to actions.lua. Nothing here waits.

local ask = require('infill.ask')
local client_of = require('infill.client')
local config = require('infill.config')
local cursor = require('infill.cursor')
local menu = require('infill.menu')

local M = {}

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

local group ---@type integer

--- The state of the buffer that is typed in, if there is one.
---@return infill.State?, integer buffer
function M.here()
  local buffer = vim.api.nvim_get_current_buf()
  return states[buffer], buffer
end

--- May a suggestion be on the screen here and now?
---@param buffer integer
---@return boolean
function M.is_allowed(buffer)
  -- A macro must do the same each time, so its keys never meet a suggestion.
  return vim.api.nvim_get_mode().mode:sub(1, 1) == 'i'
    and vim.bo[buffer].modifiable
    and vim.b[buffer].infill_enabled ~= false
    and config.is_on(vim.bo[buffer].filetype)
    and vim.fn.reg_recording() == ''
    and vim.fn.reg_executing() == ''
    and (config.options.menu == 'coexist' or not menu.is_open())
end

---@param state infill.State
---@param buffer integer
function M.clear(state, buffer)
  if state.shown then
    paint.hide(buffer, state.client.id)
  end
  state.suggestions, state.index, state.numbered, state.shown = {}, 1, false, nil
end

--- The suggestion on the screen; it may have been chosen with Neovim's own functions.
---@param state infill.State
---@param buffer integer
---@return infill.Suggestion?
function M.chosen(state, buffer)
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
---@param state infill.State
---@param buffer integer
---@return boolean
function M.draw(state, buffer)
  local chosen = state.suggestions[state.index]
  local all, left, shown = {}, {}, nil
  for _, each in ipairs(state.suggestions) do
    local rest = cursor.rest_of(each)
    if rest then
      table.insert(left, each)
      table.insert(all, { rest = rest, command = each.item.command })
      if each == chosen then
        shown, state.index = rest, #all
      end
    end
  end
  if not shown then
    M.clear(state, buffer)
    return false
  end
  state.suggestions, state.shown = left, shown
  state.numbered = state.numbered and #left > 1
  paint.show(buffer, state.client.id, all, state.index, state.numbered)
  tell_shown(state, chosen)
  return true
end

--- Shows these in place of what was there.
---@param state infill.State
---@param buffer integer
---@param suggestions infill.Suggestion[]
function M.show(state, buffer, suggestions)
  M.clear(state, buffer)
  if #suggestions > 0 and M.is_allowed(buffer) then
    state.suggestions = suggestions
    M.draw(state, buffer)
  end
end

--- After a key, a motion, or a menu's opening: what still fits stays, else the server is asked.
local function changed()
  local state, buffer = M.here()
  if not state then
    return
  end
  paint.settle(buffer)
  if not M.is_allowed(buffer) then
    M.leave(buffer)
    return
  end
  local now = cursor.place()
  if state.place == now then
    return
  end
  state.place = now
  -- A selected entry counts as typed, so what fits the text may not fit it.
  if not cursor.selected_entry() and M.chosen(state, buffer) and M.draw(state, buffer) then
    return
  end
  ask.cancel(state)
  if config.options.settings.automatic ~= false then
    ask.ask(state, ask.AUTOMATIC, function(suggestions)
      M.show(state, buffer, suggestions)
    end)
  end
end

--- No ghost text and no question any more, until something is typed.
---@param buffer integer
function M.leave(buffer)
  local state = states[buffer]
  if state then
    ask.cancel(state)
    M.clear(state, buffer)
    state.place = nil
  end
end

--- Listens to the keyboard in this buffer: after Neovim's own inline completion, which `paint` has
--- attached, so that its doing can be corrected.
local function listen(buffer)
  local function on(events, callback)
    vim.api.nvim_create_autocmd(events, { group = group, buffer = buffer, callback = callback })
  end
  vim.api.nvim_clear_autocmds({ group = group, buffer = buffer })
  on({ 'CursorMovedI', 'TextChangedI', 'TextChangedP' }, function()
    changed()
  end)
  -- The cursor has its place only after this event.
  on('InsertEnter', vim.schedule_wrap(changed))
  on({ 'InsertLeave', 'BufLeave' }, function()
    M.leave(buffer)
  end)
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
    state.asked, states[buffer] = nil, nil
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
      local state = M.here()
      if state and not state.shown then
        state.place = nil
      end
      changed()
    end)
  )
end

return M

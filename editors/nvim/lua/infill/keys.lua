-- The keys of setup(): each does its action if there is something to do it to, else what it did
-- before, be that Neovim's own meaning or another plugin's mapping.

local actions = require('infill.actions')

local M = {}

local OURS = 'Infill: '

local DESCRIPTIONS = {
  accept = 'accept the suggestion',
  accept_word = "accept the suggestion's next word",
  accept_line = "accept the suggestion's next line",
  next = 'next suggestion',
  previous = 'previous suggestion',
  dismiss = 'dismiss the suggestion',
  trigger = 'ask for suggestions',
}

---@type table<string, table|false> What keys did before, by their codes.
local former = {}

local function codes(keys)
  return vim.api.nvim_replace_termcodes(keys, true, true, true)
end

local function mapping_of(lhs)
  for _, mapping in ipairs(vim.api.nvim_get_keymap('i')) do
    if mapping.lhsraw == codes(lhs) or mapping.lhsrawalt == codes(lhs) then
      return mapping
    end
  end
end

--- Is this one of setup()'s mappings?
---@param mapping table
---@return boolean
function M.is_ours(mapping)
  return vim.startswith(mapping.desc or '', OURS)
end

--- Types keys before all others that wait.
local function feed(keys, remapped)
  vim.api.nvim_feedkeys(keys, remapped and 'im' or 'in', false)
end

--- What an expression mapping gives.
local function evaluate(mapping)
  if mapping.callback then
    local keys = mapping.callback()
    return type(keys) == 'string' and (mapping.replace_keycodes == 1 and codes(keys) or keys) or ''
  end
  local code = mapping.rhs:gsub('<SID>', ('<SNR>%d_'):format(mapping.sid))
  local keys = vim.api.nvim_eval(code)
  return mapping.replace_keycodes == 1 and codes(keys) or keys
end

--- Does what the key did before.
local function fall_back(lhs)
  local mapping = former[codes(lhs)]
  if not mapping then
    feed(codes(lhs), false)
    return
  end
  if mapping.callback and mapping.expr ~= 1 then
    mapping.callback()
    return
  end
  local keys = mapping.expr == 1 and evaluate(mapping) or codes(mapping.rhs)
  -- A mapping that gives its own key means the key itself.
  local remapped = mapping.noremap == 0 and not vim.startswith(keys, codes(lhs))
  feed(keys, remapped)
end

--- Maps the keys; what they did before is kept the first time.
---@param keys false|table<infill.Action, string|false>
function M.map(keys)
  for action, lhs in pairs(keys or {}) do
    if lhs then
      local mapping = mapping_of(lhs)
      if not (mapping and M.is_ours(mapping)) then
        former[codes(lhs)] = mapping or false
      end
      vim.keymap.set('i', lhs, function()
        if not actions[action]() then
          fall_back(lhs)
        end
      end, { desc = OURS .. DESCRIPTIONS[action] })
    end
  end
end

--- Mappings of other plugins that hide one of ours in a buffer.
---@param keys false|table<infill.Action, string|false>
---@param buffer integer
---@return { action: infill.Action, lhs: string, mapping: table }[]
function M.hidden(keys, buffer)
  local found = {}
  for action, lhs in pairs(keys or {}) do
    for _, mapping in ipairs(lhs and vim.api.nvim_buf_get_keymap(buffer, 'i') or {}) do
      if mapping.lhsraw == codes(lhs) then
        table.insert(found, { action = action, lhs = lhs, mapping = mapping })
      end
    end
    local global = lhs and mapping_of(lhs)
    if global and not M.is_ours(global) then
      table.insert(found, { action = action, lhs = lhs, mapping = global })
    end
  end
  return found
end

return M

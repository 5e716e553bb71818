-- What the user chose: the options of setup() over their defaults, checked.

local M = {}

---@alias infill.Action 'accept'|'accept_word'|'accept_line'|'next'|'previous'|'dismiss'|'trigger'

---@class infill.Options
---@field cmd string[] The command that starts the server.
---@field keys false|table<infill.Action, string|false> Insert-mode keys; `false` maps none, or not that one.
---@field menu 'hide'|'coexist' What a suggestion does while a completion menu is open.
---@field settings infill.Settings Sent to the server as they are.

---@class infill.Settings See |infill-settings|.
---@field enabled? boolean
---@field languages? table<string, boolean>
---@field exclude? string[]
---@field automatic? boolean
---@field delay? integer
---@field singleLine? boolean
---@field neighbours? boolean
---@field model? string
---@field quant? string
---@field template? string
---@field threads? integer
---@field window? integer
---@field device? string
---@field memory? integer
---@field vram? integer
---@field kv? 'f16'|'q8'
---@field idle? integer
---@field timings? boolean

---@type infill.Options
local DEFAULTS = {
  cmd = { 'infill', 'lsp' },
  keys = {
    accept = '<Tab>',
    accept_word = '<M-Right>',
    accept_line = '<M-C-Right>',
    next = '<M-]>',
    previous = '<M-[>',
    dismiss = '<C-]>',
    trigger = '<M-\\>',
  },
  menu = 'hide',
  settings = {},
}

--- What holds now; before setup(), the defaults without any key.
---@type infill.Options
M.options = vim.tbl_extend('force', vim.deepcopy(DEFAULTS), { keys = false })

local function check(holds, message)
  if not holds then
    error('infill: ' .. message, 0)
  end
end

---@param options? table
---@return infill.Options
function M.set(options)
  options = options or {}
  for name in pairs(options) do
    check(DEFAULTS[name] ~= nil, ("setup() has no option '%s'; see :help infill-setup"):format(name))
  end
  check(options.cmd == nil or vim.islist(options.cmd), "'cmd' is a list, such as { 'infill', 'lsp' }")
  check(options.menu == nil or options.menu == 'hide' or options.menu == 'coexist', "'menu' is 'hide' or 'coexist'")
  check(options.settings == nil or type(options.settings) == 'table', "'settings' is a table")
  local keys = options.keys
  check(keys == nil or keys == false or type(keys) == 'table', "'keys' is false or a table of actions and keys")
  for action in pairs(keys or {}) do
    check(DEFAULTS.keys[action] ~= nil, ("'keys' has no action '%s'; see :help infill-keys"):format(action))
  end
  M.options = vim.tbl_deep_extend('force', vim.deepcopy(DEFAULTS), options)
  return M.options
end

--- May there be suggestions in files of this language, by the settings?
---@param language string
---@return boolean
function M.is_on(language)
  local settings = M.options.settings
  local languages = settings.languages or {}
  local on = languages[language]
  if on == nil then
    on = languages['*']
  end
  return settings.enabled ~= false and on ~= false
end

return M

-- :checkhealth infill

local M = {}

local health = vim.health

local function check_neovim()
  health.start('Neovim')
  local version = tostring(vim.version())
  if require('infill.paint.builtin').is_there() then
    health.ok(('%s: its own inline completion draws'):format(version))
  elseif vim.fn.has('nvim-0.10') == 1 then
    health.ok(('%s: the plugin draws'):format(version))
  else
    health.error(('%s is too old'):format(version), 'Install Neovim 0.10 or later.')
  end
end

local function check_binary(command)
  health.start('Server')
  if vim.fn.executable(command) == 0 then
    health.error(("'%s' is not on the PATH"):format(command), {
      'cargo install --path server/infill, in a clone of Infill',
      "or name it: require('infill').setup({ cmd = { '/path/to/infill', 'lsp' } })",
    })
    return false
  end
  -- A health check may wait; nothing else here does.
  local started, process = pcall(vim.system, { command, '--version' }, { text = true, timeout = 5000 })
  local ended = started and process:wait()
  local path = vim.fn.exepath(command)
  if ended and ended.code == 0 then
    health.ok(('%s: %s'):format(path, vim.trim(ended.stdout)))
    return true
  end
  health.error(('%s does not say its version: is it Infill?'):format(path))
  return false
end

--- What `infill doctor` says, called as the server is.
local function check_machine(cmd)
  health.start('Machine and model')
  local command = {}
  for _, word in ipairs(cmd) do
    if word ~= '--stdio' then
      table.insert(command, word == 'lsp' and 'doctor' or word)
    end
  end
  local started, process = pcall(vim.system, command, { text = true, timeout = 10000 })
  local ended = started and process:wait()
  if not ended or ended.stdout == '' then
    health.warn(('%s does not say what it finds here'):format(cmd[1]), 'Is it older than this plugin?')
    return
  end
  for _, line in ipairs(vim.split(vim.trim(ended.stdout), '\n')) do
    local kind, words = line:match('^(%a+): (.*)$')
    local say = kind == 'error' and health.error or kind == 'problem' and health.warn
    if say then
      say(words)
    else
      health.info(line)
    end
  end
end

local function check_client()
  local server = require('infill.server')
  local client = server.client()
  local status = require('infill.status').get()
  if not client then
    health.warn(
      'no server runs',
      server.is_pausing() and 'It ended and is being started again; see :Infill log.'
        or "It starts with the first file after require('infill').setup()."
    )
    return
  end
  local count = vim.tbl_count(client.attached_buffers)
  health.ok(('it runs, for %d %s'):format(count, count == 1 and 'buffer' or 'buffers'))
  if not status then
    health.info('it has not told its state yet')
    return
  end
  local say = status.kind == 'Error' and health.error or status.kind == 'Warning' and health.warn or health.ok
  local more = status.infill or {}
  say(('model %s: %s'):format(more.model or 'none', status.message or more.state or 'no state'))
  if more.why then
    health.info(('%s: %s'):format(vim.fn.fnamemodify(vim.uri_to_fname(more.uri), ':~:.'), more.why))
  end
end

local function check_keys(keys)
  health.start('Keys')
  if not keys then
    health.info('setup() maps none; see :help infill-plug')
    return
  end
  local hidden = {}
  for _, buffer in ipairs(vim.api.nvim_list_bufs()) do
    if vim.api.nvim_buf_is_loaded(buffer) and vim.bo[buffer].buftype == '' then
      for _, found in ipairs(require('infill.keys').hidden(keys, buffer)) do
        local whose = found.mapping.desc or found.mapping.rhs or 'a function'
        hidden[('%s (%s) means something else: %s'):format(found.lhs, found.action, whose)] = true
      end
    end
  end
  for words in vim.spairs(hidden) do
    health.warn(words, 'Load Infill after that plugin, or give another key; see :help infill-keys.')
  end
  if vim.tbl_isempty(hidden) then
    health.ok('all are as setup() has them')
  end
end

local function check_menus(menu)
  health.start('Completion menus')
  local present = require('infill.menu').present()
  local names = #present > 0 and table.concat(present, ' and ') or "only Neovim's own"
  local what = menu == 'hide' and 'suggestions hide while a menu is open' or 'suggestions stay beside an open menu'
  health.info(('%s; %s (menu = %q)'):format(names, what, menu))
end

function M.check()
  local options = require('infill.config').options
  check_neovim()
  local is_there = check_binary(options.cmd[1])
  check_client()
  if is_there then
    check_machine(options.cmd)
  end
  check_keys(options.keys)
  check_menus(options.menu)
end

return M

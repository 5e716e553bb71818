-- :Infill and what can follow it.

local M = {}

local function server()
  return require('infill.server')
end

local function warn(message)
  vim.notify('Infill: ' .. message, vim.log.levels.WARN)
end

--- Calls back with the server, or says that there is none.
---@param act fun(client: vim.lsp.Client, buffer: integer)
local function with_client(act)
  local client = server().client()
  if client then
    act(client, vim.api.nvim_get_current_buf())
  elseif server().is_pausing() then
    warn('the server is being started again; try in a moment')
  else
    warn('no server runs; :checkhealth infill says why')
  end
end

--- Asks the server for something about the buffer.
local function ask(method, answered)
  with_client(function(client, buffer)
    local params = { textDocument = { uri = vim.uri_from_bufnr(buffer) } }
    require('infill.client').request(client, method, params, buffer, function(fault, result)
      if fault then
        vim.notify('Infill: ' .. fault.message, vim.log.levels.ERROR)
      else
        answered(result)
      end
    end)
  end)
end

--- On or off: everywhere, for a language, or with `!` for the buffer.
local function switch(on, command, language)
  if command.bang then
    vim.b.infill_enabled = on
    require('infill.ghost').refresh()
    vim.cmd.redrawstatus()
  elseif language then
    server().change({ languages = { [language] = on } })
  else
    server().change({ enabled = on })
  end
end

local function show_status()
  ask('infill/status', function(status)
    status = status or {}
    local words = { ('Infill %s: %s'):format(status.version or '', status.state or 'unknown') }
    local function add(name, value)
      if value and value ~= '' then
        table.insert(words, ('%s: %s'):format(name, value))
      end
    end
    add('model', status.model)
    add('loading', status.percent and status.percent .. '%')
    add('message', status.message)
    local document = status.document
    if document then
      add('this file', document.active and 'on' or ('off, %s'):format(document.why or 'for a reason unknown'))
    end
    local usage = status.usage
    if usage then
      add('suggestions', ('%d shown, %d accepted, %d kept'):format(usage.shown, usage.accepted, usage.kept))
    end
    if status.tasks then
      add('tasks', #status.tasks > 0 and table.concat(status.tasks, ', ') or 'none with this model')
    end
    vim.notify(table.concat(words, '\n'))
  end)
end

---@type table<string, fun(command: table, argument?: string)>
local SUBCOMMANDS = {
  enable = function(command, language)
    switch(true, command, language)
  end,
  disable = function(command, language)
    switch(false, command, language)
  end,
  status = show_status,
  model = function(_, name)
    with_client(function(client, buffer)
      local models = require('infill.models')
      if name then
        models.select(client, buffer, name)
      else
        models.choose(client, buffer)
      end
    end)
  end,
  why = function()
    ask('infill/why', function(why)
      if why then
        require('infill.why').show(why)
      else
        warn('nothing was asked in this file yet')
      end
    end)
  end,
  log = function()
    vim.cmd.split(vim.fn.fnameescape(require('vim.lsp.log').get_filename()))
    vim.cmd.normal({ 'G', bang = true })
  end,
  restart = function()
    server().restart()
  end,
  trigger = function()
    if not require('infill').trigger() then
      warn('suggestions are asked for while typing: map a key to <Plug>(infill-trigger)')
    end
  end,
}

for _, kind in ipairs(require('infill.tasks').KINDS) do
  SUBCOMMANDS[kind] = function(command, to)
    if kind == 'translate' and not to then
      warn("translate to what? Name a language, such as ':Infill translate rust'")
      return
    end
    with_client(function(client, buffer)
      local tasks = require('infill.tasks')
      tasks.run(client, buffer, kind, tasks.selection(command), to)
    end)
  end
end

--- Runs `:Infill NAME [ARGUMENT]`.
---@param command table As |nvim_create_user_command()| gives it.
function M.run(command)
  local name, argument = command.fargs[1], command.fargs[2]
  local act = SUBCOMMANDS[name]
  if act then
    act(command, argument)
  else
    warn(("':Infill %s' is not a command; :help :Infill lists them"):format(name))
  end
end

---@param written string What the word begins with.
---@param line string
---@return string[]
function M.complete(written, line)
  local before = line:sub(1, #line - #written):gsub('^.-Infill!?%s*', '')
  local name = before:match('^%S+')
  local words = {}
  if not name then
    words = vim.tbl_keys(SUBCOMMANDS)
  elseif name == 'enable' or name == 'disable' or name == 'translate' then
    words = vim.fn.getcompletion(written, 'filetype')
  end
  table.sort(words)
  return vim.tbl_filter(function(word)
    return vim.startswith(word, written)
  end, words)
end

return M

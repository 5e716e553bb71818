-- :Infill model: choose one of the store, or get one that is known, with progress.

local client_of = require('infill.client')
local progress = require('infill.progress')

local M = {}

---@type { name: string, client: vim.lsp.Client, id: integer }?
local pulling

local function say(text)
  vim.api.nvim_echo({ { text } }, false, {})
end

local function fail(fault)
  vim.notify('Infill: ' .. fault.message, vim.log.levels.ERROR)
end

---@param client vim.lsp.Client
---@param buffer integer
---@param name? string nil is the built-in model.
function M.select(client, buffer, name)
  local params = { command = 'infill.selectModel', arguments = { name or vim.NIL } }
  client_of.execute(client, params, buffer, function(fault)
    if fault then
      fail(fault)
    else
      say(('Infill: %s is loading'):format(name or 'the built-in model'))
    end
  end)
end

--- Gets a model from the hub, and switches to it.
---@param client vim.lsp.Client
---@param buffer integer
---@param name string
function M.pull(client, buffer, name)
  local token
  token = progress.listen(function(value)
    local percent = value.percentage and (' %d%%'):format(value.percentage) or ''
    say(('Infill: getting %s%s %s'):format(name, percent, value.message or value.title or ''))
  end)
  local params = { command = 'infill.pullModel', arguments = { name }, workDoneToken = token }
  local id = client_of.execute(client, params, buffer, function(fault, result)
    progress.forget(token)
    pulling = nil
    if fault then
      fail(fault)
      return
    end
    local words = { ('Infill: %s is there'):format(name), result.licence and 'licence: ' .. result.licence or nil }
    vim.notify(table.concat(words, '; ') .. (result.notice and '\n' .. result.notice or ''))
    M.select(client, buffer, name)
  end)
  pulling = id and { name = name, client = client, id = id }
end

local function stop()
  if pulling then
    client_of.cancel(pulling.client, pulling.id)
    say(('Infill: stopped getting %s; getting it again goes on where it was'):format(pulling.name))
    pulling = nil
  end
end

local function size(bytes)
  return bytes and (', %.1f GB'):format(bytes / 1e9) or ''
end

--- What can be chosen: `{ words, act }` each.
local function choices(client, buffer, list)
  local found = {}
  local function add(words, act)
    table.insert(found, { words = words, act = act })
  end
  if pulling then
    add('stop getting ' .. pulling.name, stop)
  end
  add('the built-in model', function()
    M.select(client, buffer, nil)
  end)
  local here = {}
  for _, model in ipairs(list.models or {}) do
    here[model.name] = true
    add(model.name .. size(model.bytes), function()
      M.select(client, buffer, model.name)
    end)
  end
  for _, model in ipairs(list.known or {}) do
    if not here[model.name] then
      local licence = model.licence and (' (licence: %s)'):format(model.licence) or ''
      add('get ' .. model.name .. licence, function()
        M.pull(client, buffer, model.name)
      end)
    end
  end
  return found
end

--- Asks which one, with `vim.ui.select`.
---@param client vim.lsp.Client
---@param buffer integer
function M.choose(client, buffer)
  client_of.execute(client, { command = 'infill.listModels' }, buffer, function(fault, list)
    if fault then
      fail(fault)
      return
    end
    vim.ui.select(choices(client, buffer, list), {
      prompt = ('Model (now %s)'):format(list.current or 'none'),
      kind = 'infill.model',
      format_item = function(choice)
        return choice.words
      end,
    }, function(choice)
      if choice then
        choice.act()
      end
    end)
  end)
end

return M

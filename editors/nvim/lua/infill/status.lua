-- What the server last said of itself, and that in few words for a status line.

local M = {}

---@class infill.Status
---@field kind 'Normal'|'Inactive'|'Warning'|'Error'
---@field busy boolean
---@field message string
---@field infill? { state: string, model?: string, percent?: number, uri?: string, why?: string, ms?: number }

---@type infill.Status?
local last

--- Takes the notification `didChangeStatus`; nil when there is no server any more.
---@param status? infill.Status
function M.set(status)
  last = status
  vim.api.nvim_exec_autocmds('User', { pattern = 'InfillStatus', modeline = false })
  vim.cmd.redrawstatus()
end

---@return infill.Status?
function M.get()
  return last
end

--- Why there are no suggestions in this buffer, if the user switched them off in this editor.
local function switched_off(buffer)
  if vim.b[buffer].infill_enabled == false then
    return 'this buffer'
  end
  local config = require('infill.config')
  if config.options.settings.enabled == false then
    return 'everywhere'
  end
  return not config.is_on(vim.bo[buffer].filetype) and vim.bo[buffer].filetype or nil
end

--- A few words for a status line; empty where Infill has nothing to do.
---@return string
function M.line()
  local buffer = vim.api.nvim_get_current_buf()
  if vim.bo[buffer].buftype ~= '' then
    return ''
  end
  local off = switched_off(buffer)
  if off then
    return 'Infill off: ' .. off
  end
  if not last then
    return require('infill.server').is_pausing() and 'Infill restarts' or ''
  end
  local more = last.infill or {}
  if more.state == 'loading' then
    return more.percent and ('Infill loading %d%%'):format(more.percent) or 'Infill loading'
  elseif last.kind == 'Error' or more.state == 'failed' then
    return 'Infill failed: ' .. (last.message or 'see :Infill log')
  elseif last.kind == 'Inactive' then
    return 'Infill off: ' .. (more.why or last.message or 'this file')
  elseif last.busy then
    return 'Infill …'
  end
  return more.ms and ('Infill %.0f ms'):format(more.ms) or 'Infill'
end

return M

-- Completion menus beside ghost text: Neovim's own, nvim-cmp's and blink.cmp's.
--
-- Asks only plugins that are loaded already.

local M = {}

local function blink()
  local found = package.loaded['blink.cmp']
  return found and (found.is_menu_visible or found.is_visible)
end

local function cmp()
  local found = package.loaded['cmp']
  return type(found) == 'table' and found.visible
end

--- Which menus there can be, for the health check.
---@return string[]
function M.present()
  local names = {}
  if blink() then
    table.insert(names, 'blink.cmp')
  end
  if cmp() then
    table.insert(names, 'nvim-cmp')
  end
  return names
end

---@return boolean
function M.is_open()
  if vim.fn.pumvisible() == 1 then
    return true
  end
  for _, find in ipairs({ blink, cmp }) do
    local visible = find()
    local works, open = pcall(visible or function() end)
    if works and open then
      return true
    end
  end
  return false
end

--- The entry of Neovim's own menu that is selected but not in the buffer yet ('noinsert'), as the
--- protocol has it: the text, and the part of the line before the cursor that it stands for.
---@param line string
---@param column integer The cursor, in bytes.
---@return { text: string, start: integer }?
function M.selected(line, column)
  if vim.fn.pumvisible() == 0 then
    return nil
  end
  -- A menu may have thousands of entries: they are asked for only if one is selected.
  local selected = vim.fn.complete_info({ 'selected' }).selected
  local entry = selected >= 0 and vim.fn.complete_info({ 'items' }).items[selected + 1]
  local before = line:sub(1, column)
  if not entry or vim.endswith(before, entry.word) then
    return nil
  end
  for start = math.max(0, column - #entry.word), column do
    if vim.startswith(entry.word:lower(), before:sub(start + 1):lower()) then
      return { text = entry.word, start = start }
    end
  end
end

--- Calls back when a menu opens or closes; the plugins tell it in their own ways.
---@param group integer
---@param changed fun()
function M.watch(group, changed)
  vim.api.nvim_create_autocmd({ 'CompleteChanged', 'CompleteDone' }, { group = group, callback = changed })
  vim.api.nvim_create_autocmd('User', {
    group = group,
    pattern = { 'BlinkCmpMenuOpen', 'BlinkCmpMenuClose' },
    callback = changed,
  })
  vim.api.nvim_create_autocmd('InsertEnter', {
    group = group,
    callback = function()
      local events = cmp() and package.loaded['cmp'].event
      if events then
        events:on('menu_opened', changed)
        events:on('menu_closed', changed)
        return true
      end
    end,
  })
end

return M

-- Health of a resource of longshore.dev, for Argo CD: Healthy, Progressing, Suspended or Degraded.
local function condition(name)
  if obj.status ~= nil and obj.status.conditions ~= nil then
    for _, each in ipairs(obj.status.conditions) do
      if each.type == name then
        return each
      end
    end
  end
  return nil
end

local function health(status, found)
  local message = found.message
  if message == nil or message == "" then
    message = found.reason
  end
  return {status = status, message = message}
end

local succeeded, ready, stalled = condition("Succeeded"), condition("Ready"), condition("Stalled")
if succeeded == nil and ready == nil then
  return {status = "Progressing", message = "Waiting for Longshore's operator"}
end
if obj.metadata.generation ~= nil and obj.status.observedGeneration ~= obj.metadata.generation then
  return {status = "Progressing", message = "Waiting for Longshore's operator"}
end
if succeeded ~= nil then
  if succeeded.status == "True" then
    return health("Healthy", succeeded)
  elseif succeeded.status == "False" or (stalled ~= nil and stalled.status == "True") then
    return health("Degraded", succeeded)
  elseif succeeded.reason == "Suspended" then
    return health("Suspended", succeeded)
  end
  return health("Progressing", succeeded)
end
if ready.status == "True" then
  return health("Healthy", ready)
elseif ready.status == "False" then
  return health("Degraded", ready)
end
return health("Progressing", ready)

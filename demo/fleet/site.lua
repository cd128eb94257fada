file "/etc/motd" { content = "welcome\n" }

-- Each host tells that it is there, and keeps a list of all that are.
exchange.publish("up/" .. exchange.host, true)
local all = {}
for name in pairs(exchange.get("up/")) do table.insert(all, name) end
file "/etc/fleet" { content = table.concat(all, " ") .. "\n" }

-- A service on at most two of all hosts that have this configuration, and what one of them does.

local running = schedule("worker", { max = 2, ttl = values.ttl or 10 })

if running[exchange.host] then
  file "/etc/worker.on" { content = exchange.host .. "\n" }
end

if elect("leader", { ttl = values.ttl or 10 }) == exchange.host then
  file "/etc/leader.on" { content = exchange.host .. "\n" }
end

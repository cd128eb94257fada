-- stead test examples/exchange/exchange.test.lua

local web = { address = "10.0.0.1", port = 80 }

case("every server is in the list", {
  file = "balancer.lua",
  exchange = { host = "lb", data = { ["web/a"] = web, ["web/b"] = web } },
}, function(t)
  expect(#t.problems == 0, t.problems[1])
  expect(t.files["/etc/web-servers.list"] == "10.0.0.1 80 # a\n10.0.0.1 80 # b\n")
  expect(t.again == 0)
end)

case("when most are lost, the list stays", {
  file = "balancer.lua",
  exchange = {
    host = "lb", data = { ["web/a"] = web },
    missing = { ["web/b"] = web, ["web/c"] = web, ["web/d"] = web },
  },
}, function(t)
  expect(t.files["/etc/web-servers.list"]:find("# d") ~= nil)
end)

case("a web server tells where it is", {
  file = "web.lua", values = { port = 81 },
  exchange = { host = "web1", may_publish = { "web/{host}" } },
}, function(t)
  expect(#t.problems == 0, t.problems[1])
  expect(t.published["web/web1"].port == 81)
end)

case("who has a seat works", {
  file = "worker.lua",
  exchange = { host = "c", schedule = { worker = { "a", "c" }, leader = { "a" } } },
}, function(t)
  expect(t.files["/etc/worker.on"] == "c\n")
  expect(t.resources.file["/etc/leader.on"] == nil)
end)

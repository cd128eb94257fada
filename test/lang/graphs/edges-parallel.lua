noop "a" {}
noop "b" { needs = noop "a", listen = noop "a" }
noop "c" { before = noop "b", notify = noop "b" }
define("pair", {}, function(name)
  noop(name .. "1") { listen = noop "a" }
end)
pair "p" { needs = noop "a" }

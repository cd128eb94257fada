# A type that stead does not know: test/puppet/refused.pp.
Puppet::Type.newtype(:gadget) do
  ensurable
  newparam(:name, namevar: true)
end

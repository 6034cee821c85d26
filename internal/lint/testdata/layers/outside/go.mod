module example/outside

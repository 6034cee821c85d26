package new

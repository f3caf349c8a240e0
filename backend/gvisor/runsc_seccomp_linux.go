package gvisor

func registerPrecompiled() {}

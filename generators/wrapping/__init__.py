"""Any torch module, TorchScript file or exported program as a generator."""

"""What kubelets and drivers say to each other. The modules are made from the .proto files beside them, in the checkout:

python -m grpc_tools.protoc -I. --python_out=. --grpc_python_out=. e2e/node/protocol/{dra,registration}.proto
"""

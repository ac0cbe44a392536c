"""Data shipped with dsconv; LICENSE.md beside this file says where it comes from."""

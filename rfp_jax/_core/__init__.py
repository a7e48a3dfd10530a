"""The transformation: trace a call, freeze it once, push contributions or pull outputs."""

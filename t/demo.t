#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# What README.md promises: the demonstration ends well and shows what it says.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More tests => 6;

use MqttTest::Util qw/ root /;

###############################################################################

my $root = root();
my $shown = `"$root/demo/demo" 2>&1 < /dev/null`;

is($?, 0, 'the demonstration ends well') or diag($shown);

like($shown, qr/^key +engine-42$/m, 'the record has the key');
like($shown, qr/^payload +3100$/m, 'and the payload');
like($shown, qr/^command\/all\/doors lock$/m, 'a command to subscribers');
like($shown, qr/^command\/p2p\/engine-42 stop$/m, 'a command to one client');
unlike($shown, qr/\[(?:alert|emerg)\]/, 'no alert');

###############################################################################

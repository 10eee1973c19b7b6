#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# A claim that Redis executes after its connection was given up: the client was
# refused, so nobody owns the session, and the will of the connection that
# never was is not published.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use MqttTest;
use Test::More tests => 12;

###############################################################################

my $t = MqttTest->new;
my $redis = $t->redis;

my $conf = $t->conf;
$conf =~ s/redis %%REDIS%%/$& timeout=500ms connect_timeout=500ms/;
$t->write_file_expand('nginx.conf', $conf);
$t->run;

my $s = $t->client;
$s->subscribe('will' => 1);

for my $case ([ 'clean', 1, 0 ], [ 'kept', 0, 100 ]) {
    my ($id, $clean, $expiry) = @$case;

    my $epoch = 0;

    if (!$clean) {
        $t->client(client_id => $id, clean => 0, expiry($expiry))->disconnect;
        ok(wait_for { (session($id)->{o} // '?') eq '' }, "$id: a session");
        $epoch = session($id)->{e};
    }

    $redis->pause;

    my $c = $t->socket;
    my $connack = $c->connect(client_id => $id, clean => $clean,
                              expiry($expiry),
                              will => { topic => 'will', payload => $id });
    is($connack && $connack->{reason}, 0x88, "$id: Redis hangs");
    $c->expect_close;

    $redis->resume;
    ok(wait_for { $t->total('redis_up') == 1 }, "$id: it is back");

    # "kept" has been claimed and released again

    ok(wait_for { $clean ? !defined session($id)->{e}
                         : session($id)->{e} > $epoch
                           && session($id)->{o} eq '' },
       "$id: nobody has the session") or diag(explain session($id));
}

is($s->recv_message(0.3), undef, 'there were no wills');

my $c = $t->client(client_id => 'kept', clean => 0, expiry(0));
is($c->connack->{session_present}, 1, 'the session is there');
$c->disconnect;

ok(wait_for { listed() eq $s->client_id }, 'the list of the worker is right')
    or diag(listed());

###############################################################################

sub expiry { return props => [ [ session_expiry => $_[0] ] ] }


sub session {
    my ($id) = @_;

    return { @{ $redis->command('HGETALL', "test:{c:$id}") } };
}


sub listed {
    return join ' ', map { @{ $redis->command('SMEMBERS', $_) } }
                     $redis->keys('*{w:*');
}

###############################################################################
